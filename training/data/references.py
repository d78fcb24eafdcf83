"""Reference pictures: a person's layers at rest.

A data set may hold, for every identity, the complete layers of a drawing at rest, including hidden parts;
and for every picture its layers, at half the size, so that a network can learn how each of them moves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.composite.references import LAYERS, REFERENCES
from training.data.dataset import Progress, Uint8, content_key, map_pictures, read_labels
from training.data.picture_cache import Note
from training.errors import DatasetError

OPEN_POSE: Final = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "aa": 1.0}


def open_references(
    folder: Path,
    size_px: int,
    *,
    workers: int = 2,
    progress: Progress | None = None,
    note: Note = lambda _: None,
) -> Uint8:
    """Map the references of all identities.

    Args:
        folder: of the data set.
        size_px: wanted size; the stored size or a power-of-two fraction of it.
        workers: processes for decoding.
        progress: called with (pictures done, pictures in all) while decoding.
        note: told where the decoded pictures are, if not beside the data.

    Returns:
        uint8 [K, len(REFERENCES), size_px, size_px, 4], premultiplied RGBA, mapped read-only.

    Raises:
        DatasetError: an identity has none, or a file is missing or damaged.
    """
    manifest, identities, rows, digest = read_labels(folder)
    shards: dict[int, str] = {}
    for row in rows:
        shards.setdefault(row.identity, row.shard)
    files = []
    for person in identities:
        for name in REFERENCES:
            if name not in person.references or person.identity not in shards:
                raise DatasetError(
                    f"{folder} has no {name} reference of identity {person.identity}. "
                    "Make it again with layers: bunraku-train data cast --layers."
                )
            files.append((shards[person.identity], person.references[name]))
    flat = map_pictures(
        folder,
        files,
        key=content_key(folder, manifest, digest),
        kind=f"references{size_px}",
        stored_px=manifest.size_px,
        size_px=size_px,
        workers=workers,
        progress=progress,
        note=note,
    )
    return flat.reshape(len(identities), len(REFERENCES), size_px, size_px, 4)


def open_layers(
    folder: Path,
    *,
    workers: int = 2,
    progress: Progress | None = None,
    note: Note = lambda _: None,
) -> npt.NDArray[np.uint8]:
    """Map the layers of all pictures, at half the stored size.

    Args:
        folder: of the data set.
        workers: processes for decoding.
        progress: called with (pictures done, pictures in all) while decoding.
        note: told where the decoded pictures are, if not beside the data.

    Returns:
        uint8 [M, len(LAYERS), S / 2, S / 2, 4], premultiplied RGBA, mapped read-only.

    Raises:
        DatasetError: a picture has none, or a file is missing or damaged.
    """
    manifest, _, rows, digest = read_labels(folder)
    side = manifest.size_px // 2
    files = []
    for number, row in enumerate(rows, 1):
        for name in LAYERS:
            if name not in row.layers:
                raise DatasetError(
                    f"{folder / 'frames.jsonl'}, line {number} has no layer {name}. "
                    "Make the data set again with layers: bunraku-train data cast --layers."
                )
            files.append((row.shard, row.layers[name]))
    flat = map_pictures(
        folder,
        files,
        key=content_key(folder, manifest, digest),
        kind=f"layers{side}",
        stored_px=side,
        size_px=side,
        workers=workers,
        progress=progress,
        note=note,
    )
    return flat.reshape(len(rows), len(LAYERS), side, side, 4)
