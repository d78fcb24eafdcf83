"""Short table rows for free-form content of any length; `--json` shows all of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from engine_bridge.plain_text import plain

_ROWS: Final = 40
_ITEMS: Final = 12  # of one mapping or list
_CHARS: Final = 160  # of one value
_DEPTH: Final = 2


def free_form_rows(heading: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One row per key, with values in words: `("report obedience", "mouth open (frames 160, right 160)")`."""
    rows = [
        (f"{heading} {plain(_words(key), 40)}", plain(_short(value), _CHARS))
        for key, value in islice(values.items(), _ROWS)
    ]
    left_out = len(values) - len(rows)
    return [*rows, (heading, f"{left_out} more, shown by --json")] if left_out else rows


def _short(value: object, depth: int = 0) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if not isinstance(value, (Mapping, list)):
        return plain(str(value), _CHARS)
    if depth > _DEPTH:
        return "…"
    if isinstance(value, list):
        parts = [_short(item, depth + 1) for item in value[:_ITEMS]]
    else:
        parts = [_named(_words(str(key)), item, depth) for key, item in islice(value.items(), _ITEMS)]
    return ", ".join(parts + ["…"] * (len(value) > _ITEMS)) or "none"


def _named(name: str, value: object, depth: int) -> str:
    told = _short(value, depth + 1)
    return f"{name} ({told})" if isinstance(value, Mapping) else f"{name} {told}"


def _words(key: str) -> str:
    return key.replace("_", " ")
