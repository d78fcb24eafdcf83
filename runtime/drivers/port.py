"""Entry point for whole control states: from the wire, and from this process's window."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from engine_bridge.avf.messages import ControlState
from runtime.character.idle import IdleSettings

from .base import Kind


class ControlPort:
    """Entry point for whole control states, from this process's window or from the wire. Newest wins.

    `offer` may be called from any thread and never blocks for long; the other methods belong to the live loop.
    """

    def __init__(
        self, name: str, *, timeout_s: float | None = None, smooth: bool = False, tracks: bool = False
    ) -> None:
        """Create a port.

        Args:
            name: display name.
            timeout_s: after this long without a state the controls blend back to the lower layers; None keeps the
                last state for ever, which suits a game that sends only changes.
            smooth: whether its values pass a One-Euro filter.
            tracks: whether it tracks a face.
        """
        self.name = name
        self.attack_s = 0.0
        self.smooth = smooth
        self.tracks = tracks
        self._timeout_ns = None if timeout_s is None else int(timeout_s * 1e9)
        self._lock = threading.Lock()
        self._offered: ControlState | None = None
        self._current: ControlState | None = None
        self._since_ns = 0

    def offer(self, state: ControlState) -> None:
        """Submit a state that was checked at the edge; it replaces one not taken yet."""
        with self._lock:
            if self._offered is not None and self._offered.calibrate and not state.calibrate:
                state = msgspec.structs.replace(state, calibrate=True)
            self._offered = state

    def take(self, now_ns: int) -> ControlState | None:
        """The newest state if one arrived since the last call."""
        with self._lock:
            state, self._offered = self._offered, None
        if state is not None:
            self._current = state
            self._since_ns = now_ns
        return state

    def reject(self, previous: ControlState | None) -> None:
        """Return to an earlier state, because the one just taken cannot be used."""
        self._current = previous

    @property
    def current(self) -> ControlState | None:
        """The current state."""
        return self._current

    def sample(self, now_ns: int) -> Mapping[str, float] | None:
        """The controls held by the current state."""
        state = self._current
        if state is None or not state.controls:
            return None
        if self._timeout_ns is not None and now_ns - self._since_ns > self._timeout_ns:
            return None
        return state.controls


class WireOptions(msgspec.Struct, frozen=True):
    """Options of `wire`."""

    timeout: Annotated[float, msgspec.Meta(ge=0.01, le=3600.0)] | None = None
    smooth: bool = False


class WindowOptions(msgspec.Struct, frozen=True):
    """Options of `mouse`, `keyboard` and `sliders`, which are one driver."""

    smooth: bool = False


class _Ports:
    """A port for each person."""

    warnings: tuple[str, ...] = ()

    def __init__(self, name: str, *, timeout_s: float | None, smooth: bool) -> None:
        self._name, self._timeout_s, self._smooth = name, timeout_s, smooth

    def driver(self, idle: IdleSettings, person: int) -> ControlPort:  # noqa: ARG002  everybody has one
        """See `Source`."""
        timeout = self._timeout_s
        return ControlPort(self._name, timeout_s=timeout, smooth=self._smooth, tracks=timeout is not None)

    def close(self) -> None:
        """See `Source`."""


WIRE: Final = Kind(
    names=("wire",),
    options=WireOptions,
    open=lambda options: _Ports("wire", timeout_s=options.timeout, smooth=options.smooth),
    always=True,
)
WINDOW: Final = Kind(
    names=("mouse", "keyboard", "sliders"),
    options=WindowOptions,
    open=lambda options: _Ports("window", timeout_s=None, smooth=options.smooth),
    always=True,
    in_window=True,
)
