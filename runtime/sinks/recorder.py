"""Records a live stream without ever delaying it: its own thread, and a few buffers between.

The film has a constant frame rate: the previous picture replaces one that was late or skipped, so
that the film is as long as the performance.

Recordings survive crashes: see `unfinished` for their names until complete, and `sinks.record_film`
for the formats.
"""

from __future__ import annotations

import logging
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil

from engine_bridge.errors import SinkError
from engine_bridge.frame import Frame

from . import unfinished
from .films import Film, Pixels, check_film_path, record_film

logger = logging.getLogger(__name__)

STALL_S: Final = 5.0
_SYNC_S: Final = 30.0
_KILLED_S: Final = 2.0
_SLOTS: Final = 16
_START_S: Final = 2.0  # start-up time of an encoder on a busy machine
_SAY_AGAIN_S: Final = 10.0
_LOOK_AGAIN_S: Final = 1.0


class Recorder:
    """Writes the live loop's output to a file; `offer` never blocks.

    A name that ends in `.jsonl` records controls instead of pictures: small, and `--driver recording:FILE` or
    `bunraku render` can play them with any character.

    Failures are logged at once, and raised by `close`.

    Attributes:
        path: the file; renamed on completion if another program took the name meanwhile.
        written: frames written, including repeats.
        missed: frames that arrived while all buffers were full.
    """

    def __init__(self, path: Path, film: Film, control_names: tuple[str, ...]) -> None:
        """Create the file under its temporary name, and start the thread.

        Raises:
            SinkError: the file type is unknown, or its place cannot be written to.
        """
        self.path = path
        self.written = 0
        self.missed = 0
        self._film = film
        self._names = control_names
        self._controls_only = path.suffix.lower() == ".jsonl"
        if not self._controls_only:
            check_film_path(path)
        self._part = unfinished.begin(path, folder=not path.suffix)
        self._replaces = unfinished.identity(path)
        self._say_what_is_there()
        size = 0 if self._controls_only else film.height * film.width
        shape = (film.height, film.width, 4) if size else (0, 0, 4)
        self._slots = [np.empty(shape, np.uint8) for _ in range(_SLOTS)]
        self._poses = [np.zeros(len(control_names), np.float32) for _ in range(_SLOTS)]
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(_SLOTS):
            self._free.put(index)
        self._filled: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._start_ns: int | None = None
        self._say_missed_at = time.monotonic() + _START_S
        self._error: SinkError | None = None
        self._encoder: subprocess.Popen[bytes] | None = None
        self._completing = False
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name="bunraku-recorder", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether writing has failed; `close` then raises the error."""
        return self._error is not None

    def offer(self, frame: Frame, pose: np.ndarray) -> None:
        """Copy a frame and its controls into a free buffer, if there is one."""
        try:
            slot = self._free.get_nowait()
        except queue.Empty:
            self.missed += 1
            now = time.monotonic()
            if now >= self._say_missed_at:
                self._say_missed_at = now + _SAY_AGAIN_S
                logger.warning(
                    "recording to %s is behind, %d frames skipped so far: encoder or disk cannot keep up",
                    self.path,
                    self.missed,
                )
            return
        if self._controls_only:
            np.copyto(self._poses[slot], pose)
        else:
            np.copyto(self._slots[slot], frame.pixels)
        self._filled.put((slot, frame.capture_ns))

    def finish(self) -> None:
        """Take no more frames; the thread completes the file by itself. Never blocks."""
        self._filled.put(None)

    def close(self) -> None:
        """Finish the file and wait until it is complete; abandon it if nothing moves for five seconds.

        Raises:
            SinkError: it could not be written, or completed.
        """
        self.finish()
        try:
            self._wait()
        except KeyboardInterrupt:
            self._give_up()
            raise
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        seen = self._progress()
        since = time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.05)
            now, progress = time.monotonic(), self._progress()
            if progress != seen:
                seen, since = progress, now
            if now - since > (_SYNC_S if self._completing else STALL_S):
                self._give_up()
                return

    def _progress(self) -> tuple[int, float, bool]:
        """A value that changes while there is progress. Does not touch the disk, which may be what hangs."""
        busy_s = 0.0
        if self._encoder is not None:
            try:
                times = psutil.Process(self._encoder.pid).cpu_times()
                busy_s = times.user + times.system
            except psutil.Error:  # it has ended
                pass
        return self.written, busy_s, self._completing

    def _give_up(self) -> None:
        """Kill an encoder that hangs. A thread that waits for a dead disk is abandoned; it ends with the process."""
        self._given_up = True
        if self._encoder is not None:
            self._encoder.kill()
        self._thread.join(_KILLED_S)
        if self._thread.is_alive():
            self._error = SinkError(
                f"Recording to {self.path} hangs and was abandoned: its disk does not respond. What was written is in "
                f"{self._part.name}."
            )

    # Everything below runs in the thread.

    def _say_what_is_there(self) -> None:
        for part in unfinished.left_over(self.path):
            logger.warning("%s is left from a recording that was not completed; it is kept", part)
        if self._replaces is not None and not self.path.is_dir():
            logger.warning("%s exists; it is replaced when this recording is complete", self.path)

    def _work(self) -> None:
        try:
            if self._controls_only:
                self._write_controls()
            else:
                record_film(self._part, self.path.name, self._frames(), self._film, started=self._note_encoder)
            self._completing = True
            wanted, self.path = self.path, unfinished.complete(self._part, self.path, self._replaces)
            if self.path != wanted:
                logger.warning("%s was written by another program; this recording is %s", wanted, self.path)
        except Exception as error:  # top level of the thread: `close` reports it
            fault = SinkError(f"{self._reason(error)} {self._kept()}")
            logger.warning("%s", fault)
            self._error = fault  # last, so that whoever sees `failed` finds it reported
            while (item := self._filled.get()) is not None:
                self._free.put(item[0])

    def _note_encoder(self, process: subprocess.Popen[bytes]) -> None:
        self._encoder = process

    def _reason(self, error: Exception) -> str:
        if self._given_up:
            return f"The encoder of {self.path} hung and was killed."
        if isinstance(error, SinkError):
            return str(error)
        if isinstance(error, OSError):
            return f"Recording to {self.path} failed: {error.strerror or error}."
        return f"Recording to {self.path} failed: {error!r}."

    def _kept(self) -> str:
        """Make the recording playable, and report where it is."""
        try:
            if not self._part.exists():
                return "Nothing of it is left there."
            if self._part.suffix.lower() == ".mp4":
                unfinished.cut_to_whole_fragments(self._part)
            if unfinished.remove_if_empty(self._part):
                return "Nothing of it could be kept."
        except OSError as error:
            return f"What was recorded is lost: {error.strerror or error}."
        if self._part.suffix.lower() == ".webp":
            return f"What was written is in {self._part.name}; an animated WebP that was cut off may not open."
        return f"What was recorded until then is kept in {self._part.name}."

    def _takes(self) -> Iterator[tuple[int, float]]:
        """(slot, seconds since the first frame); the slot is free again when the next one is requested."""
        looked = time.monotonic()
        while (item := self._filled.get()) is not None:
            slot, at_ns = item
            if self._start_ns is None:
                self._start_ns = at_ns
            if time.monotonic() - looked > _LOOK_AGAIN_S:
                looked = time.monotonic()
                if not self._part.exists():  # an encoder does not notice that
                    raise SinkError(f"{self._part} was deleted or moved away while it was being written.")
            yield slot, (at_ns - self._start_ns) / 1e9
            self._free.put(slot)

    def _frames(self) -> Iterator[Pixels]:
        held: Pixels | None = None
        for slot, t_s in self._takes():
            due = round(t_s * self._film.fps)
            while held is not None and self.written < due:
                self.written += 1
                yield held
            if held is None:
                held = np.empty_like(self._slots[slot])
            np.copyto(held, self._slots[slot])
            if self.written <= due:
                self.written += 1
                yield held

    def _write_controls(self) -> None:
        with self._part.open("wb", buffering=0) as file:  # each line as it comes
            for slot, t_s in self._takes():
                values = {
                    name: round(float(value), 5) for name, value in zip(self._names, self._poses[slot], strict=True)
                }
                file.write(msgspec.json.encode({"t_s": round(t_s, 6), "controls": values}) + b"\n")
                self.written += 1
