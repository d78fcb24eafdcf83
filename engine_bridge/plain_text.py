"""Make text of unknown origin safe for a terminal, a window, a log or the wire.

A name can contain escape sequences that move a terminal's cursor, characters that reverse the reading direction, line
breaks that forge a log line, or a megabyte of text.
"""

from __future__ import annotations

from typing import Final

NAME_CHARS: Final = 80  # of a displayed name; also the longest name of an identity or expression
LINE_CHARS: Final = 300  # of a licence, an author, a sentence from another library
MESSAGE_CHARS: Final = 4000  # of a whole error message


def plain(text: str, limit: int = NAME_CHARS) -> str:
    """Return the text on one line, without invisible characters.

    Args:
        text: from anywhere.
        limit: maximum length of the result.

    Returns:
        The text with white space of any kind as single spaces, with `�` for control characters, directional marks,
        invisible and unassigned characters, and with `…` at its end if it was cut.
    """
    shortened = text[: 2 * limit]  # before checking each character: it may be long
    line = " ".join(shortened.split())
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "�" for character in line)
    return line if len(line) <= limit and len(text) <= 2 * limit else f"{line[: limit - 1]}…"


def plain_lines(text: str, limit: int = MESSAGE_CHARS) -> str:
    """The same for text that may span several lines, such as an error message: line feeds stay."""
    return "\n".join(plain(line, limit) for line in text[: 2 * limit].split("\n"))[:limit]


def is_plain(text: str, limit: int = NAME_CHARS) -> bool:
    """Return whether `plain` would leave the text unchanged."""
    return len(text) <= limit and plain(text, limit) == text
