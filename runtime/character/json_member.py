"""A JSON member of a character file, decoded into a record. Knows types and nesting, not what a record means."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from engine_bridge.errors import CharacterError
from engine_bridge.plain_text import LINE_CHARS, plain

from .archive import EXPORT_AGAIN

MAX_NESTING: Final = 32  # of what is free-form
_T = TypeVar("_T")


def decode(data: bytes, kind: type[_T], *, where: str) -> _T:
    """The record in these bytes.

    Args:
        data: JSON.
        kind: of the record; a `dict` is free-form.
        where: member and file, for messages.

    Raises:
        CharacterError: it is not JSON, not such a record, or nested too deep.
    """
    try:
        decoded = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CharacterError(f"{where} is wrong: {plain(str(error), LINE_CHARS)}. {EXPORT_AGAIN}") from error
    if isinstance(decoded, dict):
        refuse_deep(decoded, where=where)
    return decoded


def refuse_deep(free_form: dict[str, Any], *, where: str) -> None:
    """Accept maps and lists at most `MAX_NESTING` deep: whatever prints them calls itself for each level.

    Raises:
        CharacterError: they are nested deeper.
    """
    level: list[Any] = [free_form]
    for _ in range(MAX_NESTING):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
    if level:
        raise CharacterError(f"{where} is nested deeper than {MAX_NESTING} levels. {EXPORT_AGAIN}")
