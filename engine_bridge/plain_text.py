"""Text of unknown origin, made fit for a terminal, a window, a log or the wire.

A name can hold escape sequences that move a terminal's cursor, characters that turn the reading direction, line breaks
that forge a line of a log, or a megabyte. Knows characters, not where they come from or go to.
"""

from __future__ import annotations

from typing import Final

NAME_CHARS: Final = 80  # of a name that is shown; also the longest that a character may give to people and moods
LINE_CHARS: Final = 300  # of a licence, an author, a sentence of somebody else's library
MESSAGE_CHARS: Final = 4000  # of a whole error message


def plain(text: str, limit: int = NAME_CHARS) -> str:
    """The text in one line, with nothing in it that is not seen.

    Args:
        text: from anywhere.
        limit: the most characters that the result may have.

    Returns:
        The text with white space of any kind as single spaces, with `�` for control characters, marks of direction,
        invisible and unassigned characters, and with `…` at its end if it was cut.
    """
    shortened = text[: 2 * limit]  # before looking at each character: it may be long
    line = " ".join(shortened.split())
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "�" for character in line)
    return line if len(line) <= limit and len(text) <= 2 * limit else f"{line[: limit - 1]}…"


def plain_lines(text: str, limit: int = MESSAGE_CHARS) -> str:
    """The same for a text that may have several lines, such as an error message: line feeds stay."""
    return "\n".join(plain(line, limit) for line in text[: 2 * limit].split("\n"))[:limit]


def is_plain(text: str, limit: int = NAME_CHARS) -> bool:
    """Whether `plain` would leave the text as it is."""
    return len(text) <= limit and plain(text, limit) == text
