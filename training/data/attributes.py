"""Identity attributes as numbers: what `identities.jsonl` says about people, one row of floats each.

Knows labels and numpy arrays, not networks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import DatasetError
from training.data.dataset import IdentityRow

MOST_WORDS = 64  # a text attribute with more different values is a name or a note, not a kind

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

Columns = npt.NDArray[np.float32]


class AttributeTable(NamedTuple):
    """Attributes of K identities.

    Attributes:
        values: float32 [K, a].
        choices: first column and the one after the last of every word that each identity has one of.
    """

    values: Columns
    choices: tuple[tuple[int, int], ...]


def attribute_table(rows: Sequence[IdentityRow]) -> AttributeTable:
    """Attributes of all identities.

    A number becomes one column of mean 0 and variance 1, a list of numbers one each; a colour `#rrggbb` three, -1..1;
    a word one column per different word, 0 or 1; a list of words likewise. Columns that are equal for everybody are
    left out, and a missing attribute is 0 throughout.

    Raises:
        DatasetError: nobody has an attribute, or all have the same, or a number is too large.
    """
    keys = sorted({key for row in rows for key in row.attributes})
    values, choices = np.zeros((len(rows), 0), np.float32), []
    for key in keys:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                columns = _columns([row.attributes.get(key) for row in rows])
        except OverflowError as error:
            raise DatasetError(
                f"identities.jsonl: {key} has numbers too large to learn from. Correct or remove them."
            ) from error
        columns = columns[:, np.ptp(columns, axis=0) > 1e-6]
        if np.isin(columns, (0, 1)).all() and (columns.sum(1) == 1).all():
            choices.append((values.shape[1], values.shape[1] + columns.shape[1]))
        values = np.concatenate([values, columns], 1)
    if not values.size:
        raise DatasetError(
            "identities.jsonl tells nobody apart: it has no attributes that differ. "
            "Leave `attributes` out of the stages of the recipe, and latents come from the pictures alone."
        )
    return AttributeTable(values, tuple(choices))


def _columns(values: list[Any]) -> Columns:
    given = [value for value in values if value is not None]
    if all(isinstance(value, (bool, int, float)) for value in given):
        return _numbers(values)
    if all(isinstance(value, str) and _COLOUR.fullmatch(value) for value in given):
        channels = [[int(v[i : i + 2], 16) / 127.5 - 1 for i in (1, 3, 5)] if v else [0.0] * 3 for v in values]
        return np.array(channels, np.float32)
    lengths = {len(value) if isinstance(value, list) else 0 for value in given}
    if len(lengths) == 1 and all(isinstance(v, list) and all(isinstance(x, (int, float)) for x in v) for v in given):
        (length,) = lengths
        return np.concatenate([_numbers([v and v[i] for v in values]) for i in range(length)], 1)
    words = [[value] if isinstance(value, str) else value if isinstance(value, list) else [] for value in values]
    known = sorted({word for row in words for word in row if isinstance(word, str)})
    if len(known) > MOST_WORDS:
        return np.zeros((len(values), 0), np.float32)
    return np.array([[float(word in row) for word in known] for row in words], np.float32)


def _numbers(values: list[Any]) -> Columns:
    known = np.array([value for value in values if value is not None], np.float64)
    mean, deviation = known.mean(), max(float(known.std()), 1e-6)
    if not np.isfinite(deviation):
        raise OverflowError
    return np.array([[0.0 if v is None else (v - mean) / deviation] for v in values], np.float32)
