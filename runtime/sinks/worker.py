"""A sink with a thread of its own, that is shown the newest picture and never holds the live loop up.

Knows pictures and threads, not where the pictures go.
"""

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
    """Where pictures go, one at a time. It is opened, used and closed in one thread, as drivers of devices want it."""

    @property
    def label(self) -> str:
        """What people call it, for example `camera /dev/video0`."""

    def send(self, pixels: Pixels) -> None:
        """Show a picture, uint8 [H, W, 4], straight alpha; it is overwritten after this returns. May block."""

    def close(self) -> None:
        """Free the device."""


class SinkReport(msgspec.Struct, frozen=True):
    """What became of the pictures that a sink was offered.

    Attributes:
        label: which sink.
        sent: pictures that it took.
        skipped: pictures overtaken by a newer one before the sink was ready for them.
        error: what ended it early, empty if nothing did.
    """

    label: str
    sent: int
    skipped: int
    error: str


class NewestWorker:
    """Shows the newest picture to a sink as fast as the sink takes them.

    `offer` and `close` belong to one thread, usually the live loop's. Three buffers go round, so that neither side
    waits for the other and no picture allocates memory. A sink that fails is reported once, in the log, and shown
    nothing more; whoever offers pictures goes on undisturbed.
    """

    def __init__(self, name: str, open_sink: Callable[[], PictureSink], *, width: int, height: int) -> None:
        """Start the thread, have it open the sink, and wait for that.

        Args:
            name: of the thread.
            open_sink: called in the thread.
            width: of the pictures in pixels.
            height: of the pictures in pixels.

        Raises:
            SinkError: the sink cannot be opened, or has not been within 20 seconds.
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
        """What people call the sink."""
        return self._label

    @property
    def failed(self) -> bool:
        """Whether the sink has failed, so that nobody needs to draw for it."""
        return self._error != ""

    @property
    def report(self) -> SinkReport:
        """What became of the pictures so far."""
        return SinkReport(self._label, self._sent, self._skipped, self._error)

    def offer(self, pixels: Pixels) -> None:
        """Copy a picture, uint8 [H, W, 4], for the sink; it replaces one that the sink has not taken yet."""
        if self.failed:
            return
        np.copyto(self._buffers[self._writing], pixels)
        with self._changed:
            self._writing, self._ready = self._ready, self._writing
            self._skipped += self._fresh
            self._fresh = True
            self._changed.notify()

    def close(self) -> None:
        """Have the sink closed and wait two seconds at most; a picture still waiting is not shown."""
        with self._changed:
            self._stop = True
            self._changed.notify()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            logger.error("%s hangs and is left behind", self._label)

    # From here on: the thread.

    def _run(self) -> None:
        try:
            sink = self._open_sink()
        except BunrakuError as error:
            self._open_error = error
            return
        except Exception as error:  # the edge of the thread; whoever made the worker raises it
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
        except Exception as error:  # the edge of the thread: the show goes on without this sink
            self._error = str(error) or repr(error)
            logger.warning("%s has failed and shows nothing more: %s", self._label, self._error)
        finally:
            self._close(sink)

    def _newest(self) -> Pixels | None:
        """Wait for a picture that was not shown yet; None when it is time to end."""
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
        except Exception as error:  # the edge of the thread; a device that was lost often cannot be closed either
            if not self.failed:
                logger.warning("%s did not close in order: %s", self._label, error)
