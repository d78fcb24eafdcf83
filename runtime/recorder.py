"""Recording a live stream without ever holding it up: a thread of its own, and a few buffers between.

The film has a constant frame rate: a picture that came late or was skipped is stood in for by the one before it, so
that the film is as long as the performance.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from engine_bridge.errors import BunrakuError, SinkError
from engine_bridge.frame import Frame

from . import atomic
from .sinks import Film, Pixels, check_film_path, write_film

_SLOTS: Final = 16


class Recorder:
    """Writes what the live loop shows to a file; `offer` never blocks.

    A name that ends in `.jsonl` takes the controls instead of the pictures: small, and `--driver recording:FILE` or
    `bunraku render` play them again with any character.

    Attributes:
        path: the file.
        written: frames written, stand-ins included.
        missed: frames that came while all buffers were full.
    """

    def __init__(self, path: Path, film: Film, control_names: tuple[str, ...]) -> None:
        """Start the thread.

        Raises:
            SinkError: the file's kind is unknown, or its folder does not exist.
        """
        self.path = path
        self.written = 0
        self.missed = 0
        self._film = film
        self._names = control_names
        self._controls_only = path.suffix.lower() == ".jsonl"
        if self._controls_only:
            if not path.parent.is_dir():
                raise SinkError(f'The folder "{path.parent}" does not exist. Make it, or choose another place.')
        else:
            check_film_path(path)
        size = 0 if self._controls_only else film.height * film.width
        shape = (film.height, film.width, 4) if size else (0, 0, 4)
        self._slots = [np.empty(shape, np.uint8) for _ in range(_SLOTS)]
        self._poses = [np.zeros(len(control_names), np.float32) for _ in range(_SLOTS)]
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(_SLOTS):
            self._free.put(index)
        self._filled: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._start_ns: int | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="bunraku-recorder", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether writing has failed; `close` then says how."""
        return self._error is not None

    def offer(self, frame: Frame, pose: np.ndarray) -> None:
        """Copy a frame and the controls it shows into a free buffer, if there is one."""
        try:
            slot = self._free.get_nowait()
        except queue.Empty:
            self.missed += 1
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
        """Finish the file and wait until it is complete.

        Raises:
            SinkError: it could not be written.
        """
        self._filled.put(None)
        self._thread.join()
        if isinstance(self._error, BunrakuError):
            raise self._error
        if self._error is not None:
            raise SinkError(f"Recording to {self.path} failed: {self._error!r}.") from self._error

    def _work(self) -> None:
        try:
            if self._controls_only:
                self._write_controls()
            else:
                self.written = write_film(self.path, self._frames(), self._film)
        except Exception as error:  # the edge of the thread: `close` reports it
            self._error = error
            while (item := self._filled.get()) is not None:
                self._free.put(item[0])

    def _takes(self) -> Iterator[tuple[int, float]]:
        """(slot, seconds since the first frame); the slot is free again when the next one is asked for."""
        while (item := self._filled.get()) is not None:
            slot, at_ns = item
            if self._start_ns is None:
                self._start_ns = at_ns
            yield slot, (at_ns - self._start_ns) / 1e9
            self._free.put(slot)

    def _frames(self) -> Iterator[Pixels]:
        shown = 0
        held: Pixels | None = None
        for slot, t_s in self._takes():
            due = round(t_s * self._film.fps)
            while held is not None and shown < due:
                shown += 1
                yield held
            if held is None:
                held = np.empty_like(self._slots[slot])
            np.copyto(held, self._slots[slot])
            if shown <= due:
                shown += 1
                yield held

    def _write_controls(self) -> None:
        with atomic.replacing(self.path) as part, part.open("wb") as file:
            for slot, t_s in self._takes():
                values = {
                    name: round(float(value), 5) for name, value in zip(self._names, self._poses[slot], strict=True)
                }
                file.write(msgspec.json.encode({"t_s": round(t_s, 6), "controls": values}) + b"\n")
                self.written += 1
