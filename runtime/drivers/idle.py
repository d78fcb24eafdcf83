"""Idle life as a driver: the lowest layer, always there unless it is switched off."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.idle import IdleLife, IdleSettings


class IdleDriver:
    """Plays `IdleLife` from the first frame on."""

    name = "idle"
    rank = 0
    attack_s = 0.0
    tracks = False
    smooth = False

    def __init__(self, settings: IdleSettings, *, seed: int = 0) -> None:
        self.settings = settings
        self._life = IdleLife(settings, seed=seed)
        self._start_ns: int | None = None

    def sample(self, now_ns: int) -> Mapping[str, float]:
        """Controls at this time; it never runs dry."""
        if self._start_ns is None:
            self._start_ns = now_ns
        return self._life.sample((now_ns - self._start_ns) / 1e9)
