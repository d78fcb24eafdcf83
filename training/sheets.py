"""Sheets: many pictures in one PNG, for viewing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from runtime.atomic import replacing

Uint8 = npt.NDArray[np.uint8]

PAPER = (214, 222, 232)
INK = (40, 48, 60)


def over_paper(straight: Uint8) -> Uint8:
    """uint8 [..., 4] straight RGBA -> uint8 [..., 3] over the sheet's background."""
    alpha = straight[..., 3:].astype(np.float32) / 255
    mixed = straight[..., :3] * alpha + np.array(PAPER, np.float32) * (1 - alpha)
    return (mixed + 0.5).astype(np.uint8)


def write_sheet(
    path: Path,
    pictures: Uint8,
    *,
    columns: int,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> None:
    """Write pictures in rows.

    Args:
        path: target; written atomically.
        pictures: uint8 [N, H, W, 4], straight RGBA, row by row.
        columns: pictures in a row.
        row_labels: text left of each row.
        column_labels: text above each column.
    """
    count, height, width = pictures.shape[:3]
    rows = -(-count // columns)
    left = 8 + 7 * max((len(label) for label in row_labels), default=0) if row_labels else 0
    top = 18 if column_labels else 0
    sheet = Image.new("RGB", (left + columns * width, top + rows * height), PAPER)
    for index, picture in enumerate(over_paper(pictures)):
        sheet.paste(Image.fromarray(picture), (left + index % columns * width, top + index // columns * height))
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(row_labels):
        draw.text((4, top + row * height + height // 2 - 6), label, INK)
    for column, label in enumerate(column_labels):
        draw.text((left + column * width + 4, 3), label, INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        sheet.save(part)
