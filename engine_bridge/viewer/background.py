"""Background behind the character: a checkerboard or a colour."""

from __future__ import annotations

from typing import Final

import pygame

from engine_bridge.errors import SinkError

CHECKERBOARD: Final = "checkerboard"
# Order of the background key; any other colour can be given by name or number.
CHOICES: Final[tuple[str, ...]] = (CHECKERBOARD, "green", "black", "white")
# Chroma green as keying filters expect it; pygame's own "green" happens to be the same, HTML's is darker.
_COLOURS: Final = {"green": (0, 255, 0)}
_LIGHT: Final = (58, 62, 71)
_DARK: Final = (47, 50, 58)


def check(name: str) -> str:
    """Return a background's canonical name.

    Args:
        name: `checkerboard`, a colour's name, or a number such as `#1e90ff`.

    Raises:
        SinkError: there is no such background.
    """
    name = name.strip().lower()
    if name != CHECKERBOARD:
        colour_of(name)
    return name


def colour_of(name: str) -> tuple[int, int, int]:
    """Return the colour of a plain background.

    Raises:
        SinkError: there is no such colour.
    """
    if name in _COLOURS:
        return _COLOURS[name]
    try:
        colour = pygame.Color(name)
    except ValueError:
        raise SinkError(
            f"The background {name!r} is neither {CHECKERBOARD} nor a colour. "
            "Give a colour by name or number, for example: green, black, #1e90ff."
        ) from None
    return (colour.r, colour.g, colour.b)


def paint(surface: pygame.Surface, name: str, *, cell: int) -> None:
    """Fill a surface with a background.

    Args:
        surface: painted over entirely.
        name: as returned by `check`.
        cell: size of a checkerboard square, pixels.
    """
    if name != CHECKERBOARD:
        surface.fill(colour_of(name))
        return
    surface.fill(_DARK)
    width, height = surface.get_size()
    for row in range(0, height, cell):
        for column in range((row // cell % 2) * cell, width, 2 * cell):
            surface.fill(_LIGHT, (column, row, cell, cell))
