"""What the stage must know of a character, wherever it came from. Knows no file and no engine."""

from __future__ import annotations

from dataclasses import dataclass

from .controls import Control
from .expressions import Expression
from .idle import IdleSettings
from .latents import Latents


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A character as it is played.

    Attributes:
        name: for people.
        digest: SHA-256 of the generator, empty if there is no file.
        licence: of the character.
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        controls: what the engine takes, in order.
        latents: identities and how to draw more.
        expressions: named expressions.
        idle: how it lives when nobody moves it.
    """

    name: str
    digest: str
    licence: str
    width: int
    height: int
    controls: tuple[Control, ...]
    latents: Latents
    expressions: tuple[Expression, ...]
    idle: IdleSettings
