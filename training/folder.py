"""Anyone's frames: a folder of pictures with a table of parameters becomes a data set of ours.

Knows other people's column names, through a mapping file, and nothing of training.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from PIL import Image, UnidentifiedImageError

from engine_bridge.errors import DatasetError
from runtime.atomic import replacing_folder
from training.dataset import ControlRange, FrameRow, IdentityRow, Manifest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FRAMES_PER_SHARD = 2000


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one control comes from the table: value = column * scale + offset, clipped to the range."""

    column: str
    minimum: float
    maximum: float
    rest: float = 0.0
    scale: float = 1.0
    offset: float = 0.0


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where eyes or mouth are in a picture, in 0..1 of its size: x0, y0, x1, y1 at rest, and how they move."""

    box: tuple[float, float, float, float]
    follow: dict[str, tuple[float, float]] = {}  # control -> shift right and down for one unit of it


class FolderMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody's table means."""

    name: str
    licence: str
    author: str
    controls: dict[str, Column]  # our control name -> where it comes from
    table: str = "parameters.jsonl"  # .jsonl or .csv, in the folder
    picture: str = "file"  # column with the picture's path in the folder
    identity: str | None = None  # column that tells who it is; one identity if absent
    identities: str | None = None  # .json in the folder: a list of people, with that column and their attributes
    regions: dict[Literal["eyeLeft", "eyeRight", "mouth"], Region] = {}


def read_mapping(path: Path) -> FolderMapping:
    """Read a mapping file.

    Raises:
        DatasetError: missing, not TOML, with unknown or missing fields, or with a region that cannot be.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), FolderMapping)
    except FileNotFoundError:
        raise DatasetError(f"There is no mapping file {path}. Copy one from training/recipes/mappings.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DatasetError(f"{path}: {error}. docs/training.md lists the fields.") from error
    for name, region in mapping.regions.items():
        x0, y0, x1, y1 = region.box
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise DatasetError(
                f"{path}: regions.{name} has box {list(region.box)}; give x0 < x1 and y0 < y1 within 0..1."
            )
        unknown = sorted(set(region.follow) - set(mapping.controls))
        if unknown:
            raise DatasetError(
                f"{path}: regions.{name} follows {unknown[0]}, which is none of [controls]. Add it there."
            )
    return mapping


def import_folder(
    source: Path,
    mapping: FolderMapping,
    out: Path,
    *,
    opaque: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Copy a folder of frames into a data set.

    Args:
        source: folder with pictures and a table.
        mapping: what the table's columns mean.
        out: new data set; must not exist.
        opaque: accept pictures without alpha and treat them as fully opaque.
        progress: called with (pictures done, in all).

    Raises:
        DatasetError: the table or a picture cannot be used; `out` is then not made.
    """
    if out.exists():
        raise DatasetError(f"{out} exists already. Remove it, or choose another folder.")
    table = list(_read_table(source / mapping.table))
    if not table:
        raise DatasetError(f"{source / mapping.table} has no rows, so there are no pictures to import.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(out) as folder:
        attributes = _read_attributes(source, mapping)
        size_px, rows, people = _copy_pictures(source, mapping, table, folder, opaque=opaque, progress=progress)
        manifest = Manifest(
            format=1,
            name=mapping.name,
            licence=mapping.licence,
            author=mapping.author,
            source=f"imported from {source.name}",
            size_px=size_px,
            controls=tuple(ControlRange(name, c.minimum, c.maximum, c.rest) for name, c in mapping.controls.items()),
            identities=len(people),
            frames=len(rows),
            shards=tuple(sorted({row.shard for row in rows})),
        )
        missing = sorted(set(people) - set(attributes)) if mapping.identities else []
        if missing:
            raise DatasetError(f"{mapping.identities} says nothing about {missing[0]}. Add that person.")
        identities = [IdentityRow(n, None, attributes.get(key, {"source": key})) for key, n in people.items()]
        _write_lines(folder / "identities.jsonl", identities)
        _write_lines(folder / "frames.jsonl", rows)
        (folder / "dataset.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return manifest


def _copy_pictures(
    source: Path,
    mapping: FolderMapping,
    table: list[tuple[int, dict[str, Any]]],
    folder: Path,
    *,
    opaque: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, list[FrameRow], dict[str, int]]:
    """Fill the shards; returns the pictures' size, their rows, and the identities by their source's name."""
    people: dict[str, int] = {}
    rows: list[FrameRow] = []
    seen: dict[str, int] = {}
    size_px = 0
    with contextlib.ExitStack() as stack:
        for index, (line, row) in enumerate(table):
            where = f"{source / mapping.table}, line {line}"
            file = _text(row, mapping.picture, where)
            if file in seen:
                raise DatasetError(f"{where}: {file} appears already on line {seen[file]}. Remove one of the lines.")
            seen[file] = line
            data, size_px = _read_picture(source / file, size_px, opaque=opaque)
            shard, name = f"shard-{index // FRAMES_PER_SHARD:05d}.zip", f"{index:07d}.webp"
            if index % FRAMES_PER_SHARD == 0:
                stack.close()
                archive = stack.enter_context(zipfile.ZipFile(folder / shard, "w", zipfile.ZIP_STORED))
            # A fixed time stamp: the same folder gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data)
            person = people.setdefault(str(row.get(mapping.identity)) if mapping.identity else "", len(people))
            controls = {key: _value(row, column, where) for key, column in mapping.controls.items()}
            boxes = {str(key): _place(region, mapping, controls, size_px) for key, region in mapping.regions.items()}
            rows.append(FrameRow(shard, name, person, tuple(controls.values()), boxes))
            if progress:
                progress(index + 1, len(table))
    return size_px, rows, people


def _read_attributes(source: Path, mapping: FolderMapping) -> dict[str, dict[str, Any]]:
    """What is known of each person, by the name that the table uses."""
    if mapping.identities is None:
        return {}
    path = source / mapping.identities
    if mapping.identity is None:
        raise DatasetError(f"The mapping names {mapping.identities} but no `identity` column to find people by.")
    try:
        people = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
        return {str(p[mapping.identity]): {k: v for k, v in p.items() if k != mapping.identity} for p in people}
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise DatasetError(f"{path} must be a JSON list of people, each with {mapping.identity}: {error}.") from error


def _read_table(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatasetError(f"There is no table {path}. The mapping's `table` must name a file in the folder.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        yield from ((reader.line_num, row) for row in reader)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise DatasetError(f"{path}, line {number}: {error}. Mend or remove that line.") from error
        yield number, row


def _text(row: dict[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value:
        raise DatasetError(f"{where}: there is no picture in column {column}.")
    if Path(value).is_absolute() or ".." in Path(value).parts:
        raise DatasetError(f"{where}: {value} lies outside the folder. Use paths inside it.")
    return value


def _value(row: dict[str, Any], column: Column, where: str) -> float:
    try:
        value = float(row[column.column]) * column.scale + column.offset
    except KeyError:
        raise DatasetError(f"{where}: there is no column {column.column}. The mapping names it.") from None
    except (TypeError, ValueError):
        raise DatasetError(f"{where}: {column.column} is {row[column.column]!r}, which is no number.") from None
    if not math.isfinite(value):
        raise DatasetError(f"{where}: {column.column} is not finite.")
    return min(max(value, column.minimum), column.maximum)


def _place(
    region: Region, mapping: FolderMapping, controls: dict[str, float], size_px: int
) -> tuple[int, int, int, int]:
    """The region's box in one picture, in pixels, inside the picture."""
    moved = {name: controls[name] - mapping.controls[name].rest for name in region.follow}
    right = sum(moved[name] * shift[0] for name, shift in region.follow.items())
    down = sum(moved[name] * shift[1] for name, shift in region.follow.items())
    x0, y0, x1, y1 = region.box
    inside = (min(max(round(v * size_px), 0), size_px) for v in (x0 + right, y0 + down, x1 + right, y1 + down))
    return next(inside), next(inside), next(inside), next(inside)


def _read_picture(path: Path, size_px: int, *, opaque: bool) -> tuple[bytes, int]:
    """Check one picture and re-encode it without loss; returns the bytes and its size."""
    try:
        with Image.open(path) as image:
            image.load()
            if image.width != image.height:
                raise DatasetError(f"{path} is {image.width}x{image.height} px; pictures must be square. Pad them.")
            if size_px and image.width != size_px:
                raise DatasetError(
                    f"{path} is {image.width} px wide, the ones before it {size_px} px. Bring all to one size."
                )
            if "A" not in image.getbands() and not opaque:
                raise DatasetError(f"{path} has no alpha channel. Cut the character out, or pass --opaque.")
            buffer = io.BytesIO()
            image.convert("RGBA").save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
            return buffer.getvalue(), image.width
    except FileNotFoundError:
        raise DatasetError(f"The picture {path} is in the table but not in the folder.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"The picture {path} cannot be read: {error}. Replace it or remove its line.") from error


def _write_lines(path: Path, rows: list[Any]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
