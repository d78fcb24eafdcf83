"""What a driver is: a source of controls. Knows no character and no socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from runtime.character.idle import IdleSettings


class Driver(Protocol):
    """Moves one person: asked once per frame, as late as possible before the frame is drawn."""

    @property
    def name(self) -> str:
        """What people call it."""

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

        Only names of the vocabulary and finite values. Never blocks.
        """


class Source(Protocol):
    """What a command line named once: a file that was read, a socket that was opened. All people on a stage share it.

    Attributes:
        warnings: what people should know, for example a torn line of a recording.
    """

    warnings: tuple[str, ...]

    def driver(self, idle: IdleSettings, person: int) -> Driver | None:
        """A driver for one person; None if there is to be none.

        Args:
            idle: the character's idle settings.
            person: which of several people on one stage, from 0.
        """

    def close(self) -> None:
        """Free what it holds; its drivers have nothing to say from then on. Safe to call twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of driver.

    Attributes:
        names: what `--driver` takes.
        options: what may stand behind the name, with defaults. A field `file` takes all that looks like no option.
        open: makes a source of them; raises DriverError or a more special BunrakuError.
        always: there without being named, once; to name it changes its options. Others are there as often as named.
        in_window: only where there is a window.
    """

    names: tuple[str, ...]
    options: type[msgspec.Struct]
    open: Callable[[Any], Source]
    always: bool = False
    in_window: bool = False
