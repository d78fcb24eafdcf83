"""Connects a window of this process to the live loop: frames out, control states in, no sockets between.

The loop puts frames in, the window takes the newest one out; three buffers rotate, so that neither ever waits for
the other and no frame allocates pixels.
"""

from __future__ import annotations

import dataclasses
import threading

import msgspec
import numpy as np

from engine_bridge.avf.messages import ControlState, LiveStats, StreamInfo
from engine_bridge.clock import now_ns
from engine_bridge.frame import Frame
from runtime.drivers.port import ControlPort

from .performer import Timings


class WindowSource:
    """The stream as seen by a window (a `StreamSource`); `put` and `tell` belong to the live loop.

    Attributes:
        motion_to_photon: from a state's timestamp to the window taking the first frame that answers it.
    """

    def __init__(self, info: StreamInfo, port: ControlPort) -> None:
        self.motion_to_photon = Timings()
        self._info = info
        self._port = port
        self._stats: LiveStats | None = None
        self._lock = threading.Lock()
        self._buffers = [np.empty((info.height, info.width, 4), np.uint8) for _ in range(3)]
        self._writing, self._ready, self._reading = 0, 1, 2
        self._fresh: Frame | None = None
        self._answered = 0
        self._sent = 0
        self._closed = threading.Event()

    @property
    def info(self) -> StreamInfo:
        """What the stream shows and takes."""
        return self._info

    @property
    def stats(self) -> LiveStats | None:
        """Live-loop statistics."""
        return self._stats

    @property
    def closed(self) -> bool:
        """Whether the window has gone."""
        return self._closed.is_set()

    def put(self, frame: Frame) -> None:
        """Copy a frame for the window, replacing one not taken yet."""
        buffer = self._buffers[self._writing]
        np.copyto(buffer, frame.pixels)
        shown = dataclasses.replace(frame, pixels=buffer)
        with self._lock:
            self._writing, self._ready = self._ready, self._writing
            self._fresh = shown

    def tell(self, stats: LiveStats) -> None:
        """Replace the statistics."""
        self._stats = stats

    def latest(self) -> Frame | None:
        """Return the newest frame, or None if there is none; its pixels are valid until the next call."""
        with self._lock:
            frame, self._fresh = self._fresh, None
            if frame is None:
                return None
            self._ready, self._reading = self._reading, self._ready
        if frame.control_id > self._answered and 0 < frame.control_timestamp_ns <= (now := now_ns()):
            self._answered = frame.control_id
            self.motion_to_photon.add(now - frame.control_timestamp_ns)
        return frame

    def send(self, state: ControlState) -> None:
        """Pass on the user's state, adding number and time if missing."""
        self._sent = max(self._sent + 1, state.control_id)
        self._port.offer(
            msgspec.structs.replace(state, control_id=self._sent, timestamp_ns=state.timestamp_ns or now_ns())
        )

    def close(self) -> None:
        """End the stream for this window."""
        self._closed.set()
