"""The driver interface: a source of controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from runtime.character.idle import IdleSettings


class Driver(Protocol):
    """Moves one person; asked once per frame, as late as possible before drawing."""

    @property
    def name(self) -> str:
        """Display name."""

    @property
    def attack_s(self) -> float:
        """How long it takes to take over a control; 0 is immediate."""

    @property
    def tracks(self) -> bool:
        """Whether it tracks a face, so that calibration makes sense."""

    @property
    def smooth(self) -> bool:
        """Whether its values pass a One-Euro filter."""

    def sample(self, now_ns: int) -> Mapping[str, float] | None:
        """Controls at this time, in natural units; None when there is no data (the tracker is lost).

        Only names of the vocabulary and finite values. Never blocks.
        """


class Source(Protocol):
    """What a command line names once: a file read, a socket opened. Shared by all people on a stage.

    Attributes:
        warnings: for people, for example a torn line of a recording.
    """

    warnings: tuple[str, ...]

    def driver(self, idle: IdleSettings, person: int) -> Driver | None:
        """Create a driver for one person; None for none.

        Args:
            idle: the character's idle settings.
            person: index among several people on one stage, from 0.
        """

    def close(self) -> None:
        """Free its resources; its drivers return nothing from then on. Safe to call twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of driver.

    Attributes:
        names: accepted by `--driver`.
        options: accepted after the name, with defaults. A field `file` takes everything that looks like no option.
        open: creates a source from them; raises DriverError or another BunrakuError.
        always: present once without being named; naming it changes its options. Others are present as often as named.
        in_window: only with a window.
    """

    names: tuple[str, ...]
    options: type[msgspec.Struct]
    open: Callable[[Any], Source]
    always: bool = False
    in_window: bool = False
