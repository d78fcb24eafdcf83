"""A sink with its own thread, which gets the newest picture and never delays the live loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import numpy as np

from engine_bridge.errors import BunrakuError, SinkError
from engine_bridge.frame import Pixels

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S: Final = 20.0
CLOSE_TIMEOUT_S: Final = 2.0


class PictureSink(Protocol):
    """An output for pictures, one at a time. It is opened, used and closed in one thread, as device drivers require."""

    @property
    def label(self) -> str:
        """Display name, for example `camera /dev/video0`."""

    def send(self, pixels: Pixels) -> None:
        """Show a picture, uint8 [H, W, 4], straight alpha; it is overwritten after this returns. May block."""

    def close(self) -> None:
        """Free the device."""


class SinkReport(msgspec.Struct, frozen=True):
    """What became of the pictures offered to a sink.

    Attributes:
        label: which sink.
        sent: pictures it took.
        skipped: pictures superseded by a newer one before the sink was ready.
        error: what ended it early, empty if nothing did.
    """

    label: str
    sent: int
    skipped: int
    error: str


class NewestWorker:
    """Shows the newest picture to a sink as fast as the sink takes them.

    `offer` and `close` belong to one thread, usually the live loop's. Three buffers rotate, so that neither side
    waits for the other and no picture allocates memory. A sink that fails is logged once, and shown nothing more; the
    caller of `offer` goes on undisturbed.
    """

    def __init__(self, name: str, open_sink: Callable[[], PictureSink], *, width: int, height: int) -> None:
        """Start the thread, make it open the sink, and wait for that.

        Args:
            name: of the thread.
            open_sink: called in the thread.
            width: of the pictures in pixels.
            height: of the pictures in pixels.

        Raises:
            SinkError: the sink cannot be opened, or not within 20 seconds.
        """
        self._open_sink = open_sink
        self._buffers = [np.zeros((height, width, 4), np.uint8) for _ in range(3)]
        self._writing, self._ready, self._reading = 0, 1, 2
        self._changed = threading.Condition()
        self._fresh = False
        self._stop = False
        self._opened = threading.Event()
        self._open_error: BaseException | None = None
        self._label = name
        self._sent = 0
        self._skipped = 0
        self._error = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        if not self._opened.wait(OPEN_TIMEOUT_S):
            self._stop = True
            raise SinkError(f"{name} could not be opened within {OPEN_TIMEOUT_S:g} s. Is its device in use elsewhere?")
        if self._open_error is not None:
            self._thread.join()
            raise self._open_error

    @property
    def label(self) -> str:
        """The sink's display name."""
        return self._label

    @property
    def failed(self) -> bool:
        """Whether the sink has failed, so that drawing for it is pointless."""
        return self._error != ""

    @property
    def report(self) -> SinkReport:
        """What became of the pictures so far."""
        return SinkReport(self._label, self._sent, self._skipped, self._error)

    def offer(self, pixels: Pixels) -> None:
        """Copy a picture, uint8 [H, W, 4], for the sink, replacing one not taken yet."""
        if self.failed:
            return
        np.copyto(self._buffers[self._writing], pixels)
        with self._changed:
            self._writing, self._ready = self._ready, self._writing
            self._skipped += self._fresh
            self._fresh = True
            self._changed.notify()

    def close(self) -> None:
        """Close the sink, waiting two seconds at most; a picture still waiting is not shown."""
        with self._changed:
            self._stop = True
            self._changed.notify()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            logger.error("%s hangs and was abandoned", self._label)

    # Everything below runs in the thread.

    def _run(self) -> None:
        try:
            sink = self._open_sink()
        except BunrakuError as error:
            self._open_error = error
            return
        except Exception as error:  # top level of the thread; the constructor raises it
            self._open_error = SinkError(f"{self._label} cannot be opened: {error!r}.")
            self._open_error.__cause__ = error
            return
        else:
            self._label = sink.label
        finally:
            self._opened.set()
        try:
            while (pixels := self._newest()) is not None:
                sink.send(pixels)
                self._sent += 1
        except Exception as error:  # top level of the thread: the show goes on without this sink
            self._error = str(error) or repr(error)
            logger.warning("%s has failed and shows nothing more: %s", self._label, self._error)
        finally:
            self._close(sink)

    def _newest(self) -> Pixels | None:
        """Wait for a new picture; None when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._fresh or self._stop)
            if self._stop:
                return None
            self._fresh = False
            self._ready, self._reading = self._reading, self._ready
            return self._buffers[self._reading]

    def _close(self, sink: PictureSink) -> None:
        try:
            sink.close()
        except Exception as error:  # top level of the thread; a lost device often cannot be closed either
            if not self.failed:
                logger.warning("%s did not close cleanly: %s", self._label, error)
