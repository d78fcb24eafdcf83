"""Landmarks: known points in a reference and in pictures of the same person.

Comparing pixels cannot find a brow that has moved by more than its own width: no small step improves the picture.
The program that draws pictures, or a landmark detector, knows where it went.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.composite.references import REFERENCES
from training.data.dataset import Points, read_labels
from training.errors import DatasetError

Floats = npt.NDArray[np.float32]


class Landmarks(NamedTuple):
    """Points of a data set, x and y in 0..1 of the picture, NaN where missing.

    Attributes:
        frames: float32 [M, len(REFERENCES), P, 2], in each picture, by the reference that shows them best.
        references: float32 [K, len(REFERENCES), P, 2], in the references of each identity.
    """

    frames: Floats
    references: Floats


def open_landmarks(folder: Path) -> Landmarks:
    """Read the landmarks of a data set; P is 0 if it has none.

    Raises:
        DatasetError: two rows have different numbers of points, or a number is invalid.
    """
    manifest, identities, rows, _ = read_labels(folder)
    tables = [[row.landmarks for row in rows], [row.landmarks for row in identities]]
    counts = {len(points) for table in tables for row in table for points in row.values()}
    if len(counts) > 1:
        raise DatasetError(
            f"{folder}: the lists of landmarks have {min(counts)} to {max(counts)} points. Every list needs one for "
            "each point, null where it is hidden."
        )
    count = counts.pop() if counts else 0
    with np.errstate(over="ignore"):
        found = Landmarks(*(_points(table, count, manifest.size_px) for table in tables))
    if any(np.isinf(points).any() for points in found):
        raise DatasetError(f"{folder}: landmarks have numbers that are too large. Correct or remove them.")
    return found


def _points(rows: list[dict[str, Points]], count: int, size_px: int) -> Floats:
    out = np.full((len(rows), len(REFERENCES), count, 2), np.nan, np.float32)
    for row, into in zip(rows, out, strict=True):
        for index, name in enumerate(REFERENCES):
            if points := row.get(name):
                into[index] = [(np.nan, np.nan) if point is None else point for point in points]
    out /= size_px
    return out
