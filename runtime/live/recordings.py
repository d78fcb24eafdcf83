"""The recordings of one live loop, one after the other. Knows when one begins and ends, not how it is encoded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import SinkError
from engine_bridge.frame import Frame
from runtime.sinks.recorder import Recorder


class Recordings:
    """At most one runs at a time; the others are being completed, or are complete.

    The live loop offers frames, while another thread may start and stop recordings.

    Attributes:
        written: frames in complete recordings.
        missed: frames that complete recordings left out.
        paths: of complete recordings.
    """

    def __init__(self, open_recorder: Callable[[Path], Recorder]) -> None:
        """Record nothing yet.

        Args:
            open_recorder: opens a recording that will be at this path.
        """
        self._open = open_recorder
        self._lock = threading.Lock()
        self._recorder: Recorder | None = None
        self._finished: list[Recorder] = []
        self.written = 0
        self.missed = 0
        self.paths: list[str] = []

    @property
    def running(self) -> bool:
        """Whether frames are recorded now."""
        return self._recorder is not None

    def start(self, path: Path) -> Path:
        """Start one, unless one runs already.

        Returns:
            Where the one that runs now will be.

        Raises:
            SinkError: it cannot be started.
        """
        with self._lock:
            if self._recorder is None:
                self._recorder = self._open(path)
            return self._recorder.path

    def stop(self) -> Path | None:
        """End the one that runs; never blocks on the disk.

        Returns:
            Where it will be, None if none was running.
        """
        with self._lock:
            if self._recorder is None:
                return None
            recorder, self._recorder = self._recorder, None
            recorder.finish()
            self._finished.append(recorder)
            return recorder.path

    def offer(self, frame: Frame, pose: npt.NDArray[np.float32]) -> None:
        """Record a frame and the controls that it shows, if one runs."""
        with self._lock:
            if self._recorder is not None:
                self._recorder.offer(frame, pose)
                if self._recorder.failed:
                    # It has said so in the log. The show goes on, and the command ends with code 1.
                    self._finished.append(self._recorder)
                    self._recorder = None

    def complete(self) -> None:
        """End what runs, and wait until all are complete, or given up after five seconds.

        Raises:
            SinkError: one could not be written; of several, the first one. The log has told of each.
        """
        if self._recorder is not None:
            self._finished.append(self._recorder)
            self._recorder = None
        for recorder in self._finished:
            recorder.finish()
        errors: list[SinkError] = []
        while self._finished:
            recorder = self._finished.pop(0)
            try:
                recorder.close()
                self.paths.append(str(recorder.path))
            except SinkError as error:
                errors.append(error)
            self.written += recorder.written
            self.missed += recorder.missed
        if errors:
            raise errors[0]
