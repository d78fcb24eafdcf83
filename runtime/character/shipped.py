"""Where characters are: files that somebody names, and those that come with Bunraku. Knows paths, opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine_bridge.errors import CharacterError

SHIPPED: Final = "aki"  # the character that plays when nobody chooses one


def find_character(name: str | Path) -> Path:
    """The path of a character: a file, or the short name of a shipped one.

    Raises:
        CharacterError: there is neither.
    """
    path = Path(name)
    if path.suffix == ".bunraku" or path.exists():
        return path
    shipped = shipped_folder() / f"{path.name}.bunraku"
    if str(name) == path.name and shipped.is_file():
        return shipped
    there = ", ".join(sorted(file.stem for file in shipped_folder().glob("*.bunraku"))) or "none here"
    raise CharacterError(
        f'There is no character "{name}". Give a .bunraku file, or the name of a shipped character ({there}). '
        "Without any character, `--engine synthetic` plays a test card."
    )


def shipped_folder() -> Path:
    """Where shipped characters lie: beside the packages in a checkout, inside the package in a wheel."""
    packaged = Path(__file__).parents[1] / "characters"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "assets" / "characters"
