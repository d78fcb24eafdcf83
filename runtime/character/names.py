"""The names in a character file: of people, expressions, hotkeys and directions. Knows text, not what has the name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import NAME_CHARS, is_plain, plain

from .archive import EXPORT_AGAIN, MAX_PEOPLE

MAX_NAMES_BYTES: Final = 16 * 1024  # of all names of people together, and of all expressions; a message has 64 KiB


def unfit_names(names: Sequence[str], *, most: int = MAX_PEOPLE) -> str:
    """Why a character cannot have these names; empty if it can.

    People and clients choose by them; they are shown everywhere, and all of them travel in one message.

    Args:
        names: of identities, expressions, hotkeys or directions.
        most: how many there may be.
    """
    for name in names:
        if not name or not is_plain(name):
            return (
                f'"{plain(name)}" is not a name: it must have 1 to {NAME_CHARS} characters, all of them visible, '
                "without spaces at its ends and without two in a row"
            )
    size = sum(len(name.encode()) for name in names)
    if len(names) > most or size > MAX_NAMES_BYTES:
        return f"has {len(names)} names of {size} bytes together; {most} and {MAX_NAMES_BYTES // 1024} KiB are the most"
    return ""


def refuse_unfit_names(where: str, what: str, names: Sequence[str], *, most: int) -> None:
    """Raise what `unfit_names` says, if it says anything.

    Args:
        where: member and file, for the message.
        what: what has these names, for the message.
        names: see `unfit_names`.
        most: how many there may be.

    Raises:
        CharacterError: a name is unfit, or there are too many.
    """
    if reason := unfit_names(names, most=most):
        raise CharacterError(f"{where}: {what} {reason}. {EXPORT_AGAIN}")
