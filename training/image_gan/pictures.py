"""A folder of pictures as a data set: cropped, composited over a plain colour, resized.

Every picture is its own identity. Nothing moves, so the only control has an empty range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from training.data.control_ranges import ControlRange
from training.data.dataset import REGIONS, Dataset, IdentityRow, Manifest, Uint8
from training.data.foreign_picture import read_picture
from training.errors import DatasetError
from training.image_gan.recipe import Pictures

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp")
STILL: Final = ControlRange("breath", 0.0, 0.0, 0.0)  # a character file lists at least one control

Note = Callable[[str], None]
Progress = Callable[[int, int], None]  # files done, in all


def open_pictures(
    folder: Path, settings: Pictures, size_px: int, *, progress: Progress | None = None, note: Note = lambda _: None
) -> Dataset:
    """Read all pictures in a folder and its subfolders. Empty cells and duplicates are skipped.

    Args:
        folder: their location.
        settings: how to cut them, and their attribution.
        size_px: target side: averaged down, or pixels repeated.
        progress: called after every file.
        note: told what was skipped.

    Raises:
        DatasetError: there is none, or one cannot be read or cut.
    """
    files = _files(folder)
    digest, empty, again = hashlib.sha256(), 0, 0
    found: dict[bytes, None] = {}
    for done, path in enumerate(files, 1):
        for picture in _cut(_read(path, settings.background), path, settings.cell_px):
            if picture.getcolors(1) is not None:
                empty += 1
                continue
            pixels = picture.resize((size_px, size_px), Image.Resampling.BOX).tobytes()
            again += pixels in found  # otherwise a copy of a training picture could be held out
            found[pixels] = None
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode(errors="surrogateescape"))
        if progress is not None:
            progress(done, len(files))
    if not found:
        raise DatasetError(f"All pictures in {folder} are of one colour. Put pictures there that show something.")
    if empty or again:
        note(f"{folder}: {len(found)} pictures; left out: {empty} of one colour, {again} that were there already")
    rgb = np.frombuffer(b"".join(found), np.uint8).reshape(-1, size_px, size_px, 3)
    pictures: Uint8 = np.concatenate([rgb, np.full((*rgb.shape[:3], 1), 255, np.uint8)], -1)
    count = len(pictures)
    return Dataset(
        manifest=Manifest(
            format=1,
            name=folder.resolve().name,
            licence=settings.licence,
            author=settings.author,
            source=settings.source,
            size_px=size_px,
            controls=(STILL,),
            identities=count,
            frames=count,
            shards=(),
        ),
        identities=tuple(map(IdentityRow, range(count))),
        identity=np.arange(count, dtype=np.int32),
        controls=np.full((count, 1), STILL.rest, np.float32),
        regions=np.zeros((count, len(REGIONS), 4), np.float32),
        pictures=pictures,
        size_px=size_px,
        digest=digest.hexdigest(),
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}. Name a folder of pictures: --set data.path=FOLDER.")
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise DatasetError(f"{folder} has no pictures. Put some there; their names end in {', '.join(SUFFIXES)}.")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _read(path: Path, background: tuple[int, int, int]) -> Image.Image:
    """Composite a picture over a plain colour, as RGB."""
    try:
        picture, _ = read_picture(path, opaque=True)
    except DatasetError as error:  # its message continues the picture's name, and assumes tables
        told = str(error).replace("remove its line", "take it out of the folder")
        raise DatasetError(f"{path} {told}") from error
    behind = Image.new("RGBA", picture.size, (*background, 255))
    return Image.alpha_composite(behind, picture).convert("RGB")


def _cut(picture: Image.Image, path: Path, cell_px: int) -> Iterator[Image.Image]:
    """The cells of a sheet; without cells, the central square."""
    width, height = picture.size
    if not cell_px:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        yield picture.crop((left, top, left + side, top + side))
        return
    if width % cell_px or height % cell_px:
        raise DatasetError(
            f"{path} has {width}x{height} px, not a whole number of cells of {cell_px} px. Set data.cell_px to "
            "the side of its cells, or to 0 if every file is one picture."
        )
    for top in range(0, height, cell_px):
        for left in range(0, width, cell_px):
            yield picture.crop((left, top, left + cell_px, top + cell_px))
