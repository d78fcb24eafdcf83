"""What a driver is: a source of controls. Knows no character and no socket."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

import msgspec

from engine_bridge.messages import ControlState


class Driver(Protocol):
    """A source of controls, asked once per frame, as late as possible before the frame is drawn."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def rank(self) -> int:
        """Its place among the layers: a higher rank covers a lower one."""

    @property
    def attack_s(self) -> float:
        """How long it takes to take a control over; 0 is at once."""

    @property
    def tracks(self) -> bool:
        """Whether it measures somebody's face, so that calibration makes sense."""

    @property
    def smooth(self) -> bool:
        """Whether its values pass a One-Euro filter."""

    def sample(self, now_ns: int) -> Mapping[str, float] | None:
        """Controls at this time, in natural units; None when it has nothing to say (the tracker is lost).

        Only names of the vocabulary and finite values.
        """


class ControlPort:
    """Where whole control states come in: from the window of this process, or from the wire. Newest wins.

    `offer` may be called from any thread and never blocks for long; the other methods belong to the live loop.
    """

    def __init__(
        self, name: str, rank: int, *, timeout_s: float | None = None, smooth: bool = False, tracks: bool = False
    ) -> None:
        """Make a port.

        Args:
            name: what people call it.
            rank: its place among the layers.
            timeout_s: after this long without a state the controls blend back to the lower layers; None keeps the
                last state for ever, which is right for a game that speaks only when something changes.
            smooth: whether its values pass a One-Euro filter.
            tracks: whether it measures somebody's face.
        """
        self.name = name
        self.rank = rank
        self.attack_s = 0.0
        self.smooth = smooth
        self.tracks = tracks
        self._timeout_ns = None if timeout_s is None else int(timeout_s * 1e9)
        self._lock = threading.Lock()
        self._offered: ControlState | None = None
        self._current: ControlState | None = None
        self._since_ns = 0

    def offer(self, state: ControlState) -> None:
        """Hand in a state that was checked at the edge; it replaces one that nobody has taken yet."""
        with self._lock:
            if self._offered is not None and self._offered.calibrate and not state.calibrate:
                state = msgspec.structs.replace(state, calibrate=True)
            self._offered = state

    def take(self, now_ns: int) -> ControlState | None:
        """The newest state if one came since the last call."""
        with self._lock:
            state, self._offered = self._offered, None
        if state is not None:
            self._current = state
            self._since_ns = now_ns
        return state

    def reject(self, previous: ControlState | None) -> None:
        """Go back to an earlier state, because the one just taken cannot be used."""
        self._current = previous

    @property
    def current(self) -> ControlState | None:
        """The state that is in force."""
        return self._current

    def sample(self, now_ns: int) -> Mapping[str, float] | None:
        """The controls that the state in force holds."""
        state = self._current
        if state is None or not state.controls:
            return None
        if self._timeout_ns is not None and now_ns - self._since_ns > self._timeout_ns:
            return None
        return state.controls
