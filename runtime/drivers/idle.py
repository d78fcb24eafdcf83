"""Idle life as a driver: the lowest layer, always present unless switched off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from runtime.character.idle import IdleLife, IdleSettings

from .base import Kind


class IdleDriver:
    """Plays `IdleLife` from the first frame on."""

    name = "idle"
    attack_s = 0.0
    tracks = False
    smooth = False

    def __init__(self, settings: IdleSettings, *, seed: int = 0) -> None:
        self.settings = settings
        self._life = IdleLife(settings, seed=seed)
        self._start_ns: int | None = None

    def sample(self, now_ns: int) -> Mapping[str, float]:
        """Controls at this time; never None."""
        if self._start_ns is None:
            self._start_ns = now_ns
        return self._life.sample((now_ns - self._start_ns) / 1e9)


class IdleOptions(msgspec.Struct, frozen=True):
    """Options of `idle`."""

    off: bool = False
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Idle:
    """An idle life for each person."""

    warnings: tuple[str, ...] = ()

    def __init__(self, options: IdleOptions) -> None:
        self._options = options

    def driver(self, idle: IdleSettings, person: int) -> IdleDriver | None:
        """See `Source`."""
        return None if self._options.off else IdleDriver(idle, seed=self._options.seed + person)

    def close(self) -> None:
        """See `Source`."""


KIND: Final = Kind(names=("idle",), options=IdleOptions, open=_Idle, always=True)
