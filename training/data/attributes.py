"""Identity attributes as numbers: one row of floats per identity, from `identities.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from training.data.dataset import IdentityRow
from training.errors import DatasetError

MOST_WORDS = 64  # a text attribute with more distinct values is a name or a note, not a category

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

Columns = npt.NDArray[np.float32]


class AttributeTable(NamedTuple):
    """Attributes of K identities.

    Attributes:
        values: float32 [K, a].
        choices: first column and the one after the last of each categorical attribute.
    """

    values: Columns
    choices: tuple[tuple[int, int], ...]


def attribute_table(rows: Sequence[IdentityRow], *, of: Sequence[IdentityRow] | None = None) -> AttributeTable:
    """Encode the attributes of all identities.

    Args:
        rows: people, who determine the columns.
        of: whose values to return; None for `rows` themselves.

    A number becomes one column of mean 0 and variance 1, a list of numbers one each; a colour `#rrggbb` three, -1..1;
    a word one column per distinct word, 0 or 1; a list of words likewise. Constant columns are
    dropped, and a missing attribute is 0 throughout.

    Raises:
        DatasetError: there are no attributes, or all are the same, or a number is too large.
    """
    keys = sorted({key for row in rows for key in row.attributes})
    of = rows if of is None else of
    values, choices = np.zeros((len(of), 0), np.float32), []
    for key in keys:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                values_of_rows = [row.attributes.get(key) for row in rows]
                columns = _columns(values_of_rows, values_of_rows)
                wanted = columns if of is rows else _columns(values_of_rows, [row.attributes.get(key) for row in of])
        except OverflowError as error:
            raise DatasetError(
                f"identities.jsonl: {key} has numbers too large to learn from. Correct or remove them."
            ) from error
        differs = np.ptp(columns, axis=0) > 1e-6
        columns, wanted = columns[:, differs], wanted[:, differs]
        if np.isin(columns, (0, 1)).all() and (columns.sum(1) == 1).all():
            choices.append((values.shape[1], values.shape[1] + columns.shape[1]))
        values = np.concatenate([values, wanted], 1)
    if not values.size:
        raise DatasetError(
            "identities.jsonl does not distinguish people: none of its attributes differ. "
            "Leave `attributes` out of the stages of the recipe, so that latents come from the pictures alone."
        )
    return AttributeTable(values, tuple(choices))


def _columns(values: list[Any], wanted: list[Any]) -> Columns:
    """Kind of the attribute `values`, and `wanted` in its columns; a value of another kind counts as missing."""
    given = [value for value in values if value is not None]
    if all(isinstance(value, (bool, int, float)) for value in given):
        return _numbers(values, [v if isinstance(v, (bool, int, float)) else None for v in wanted])
    if all(_is_colour(value) for value in given):
        channels = [
            [int(v[i : i + 2], 16) / 127.5 - 1 for i in (1, 3, 5)] if _is_colour(v) else [0.0] * 3 for v in wanted
        ]
        return np.array(channels, np.float32)
    lengths = {len(value) if isinstance(value, list) else 0 for value in given}
    if len(lengths) == 1 and all(_is_list_of_numbers(value) for value in given):
        (length,) = lengths
        rows = [v if _is_list_of_numbers(v) and len(v) == length else None for v in wanted]
        return np.concatenate(
            [_numbers([v and v[i] for v in values], [v and v[i] for v in rows]) for i in range(length)], 1
        )
    known = sorted({word for row in map(_words, values) for word in row})
    if len(known) > MOST_WORDS:
        return np.zeros((len(wanted), 0), np.float32)
    return np.array([[float(word in row) for word in known] for row in map(_words, wanted)], np.float32)


def _is_colour(value: Any) -> bool:
    return isinstance(value, str) and _COLOUR.fullmatch(value) is not None


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(x, (int, float)) for x in value)


def _words(value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value]
    return [word for word in found if isinstance(word, str)]


def _numbers(values: list[Any], wanted: list[Any]) -> Columns:
    known = np.array([value for value in values if value is not None], np.float64)
    mean, deviation = known.mean(), max(float(known.std()), 1e-6)
    if not np.isfinite(deviation):
        raise OverflowError
    return np.array([[0.0 if v is None else (v - mean) / deviation] for v in wanted], np.float32)
