"""Import of a folder of pictures with a table of parameters as a data set.

A mapping describes the foreign columns and file names. Changes and anomalies are reported
as notes, one per kind with a count and the first occurrence.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.atomic import replacing_folder
from runtime.character.controls import VOCABULARY
from runtime.tables import TableError, decimal_mark, decode_text, number, open_table, shown
from training.data.control_ranges import did_you_mean
from training.data.dataset import FrameRow, IdentityRow, Manifest
from training.data.foreign_picture import read_picture
from training.data.mapping import Column, FolderMapping, Region, check_mapping, read_mapping
from training.errors import DatasetError

__all__ = ["Column", "FolderMapping", "Region", "import_folder", "read_mapping"]

FRAMES_PER_SHARD = 2000

_PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff")
_PEOPLE = frozenset(("actor", "character", "identity", "name", "person", "speaker", "subject", "who"))
_FAR = 4.0  # this many range widths beyond it, a value is a mistake and not an extreme

Row = tuple[int, dict[str, Any]]  # line of the table, and its cells by column


class _Notes:
    """Notes of one import: a count per kind, with the first occurrence."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, place: str, count: int = 1) -> None:
        # Names of files and people may contain anything; a terminal and a JSON file may not.
        kind, place = plain(kind, LINE_CHARS), plain(place, LINE_CHARS)
        self._count[kind] += count
        self._first.setdefault(kind, place)

    def told(self) -> tuple[str, ...]:
        return tuple(f"{kind}: {count}, first {self._first[kind]}" for kind, count in self._count.items())


def import_folder(
    source: Path,
    mapping: FolderMapping,
    out: Path,
    *,
    opaque: bool = False,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Manifest:
    """Copy a folder of frames into a data set.

    Args:
        source: folder with pictures and a table.
        mapping: meaning of the table's columns.
        out: new data set; must not exist.
        opaque: accept pictures without alpha and treat them as fully opaque.
        progress: called with (pictures done, in all).
        note: called with each change or anomaly; without it, they are Python warnings. The
            manifest holds them too.

    Raises:
        DatasetError: the mapping, the table or a picture cannot be used; `out` is then not created.
    """
    if out.exists():
        raise DatasetError(f"{out} exists already. Remove it, or choose another folder.")
    check_mapping(mapping, "the mapping")
    path = source / mapping.table
    wanted = {column.column: f"controls.{control}" for control, column in mapping.controls.items()}
    wanted[mapping.picture] = "picture"
    if mapping.identity is not None:
        wanted[mapping.identity] = "identity"
    table = _read_table(path, wanted, {column.column for column in mapping.controls.values()})
    if not table:
        raise DatasetError(f"{path} has no rows, so there are no pictures to import.")
    _check_columns(path, table, wanted)
    notes = _Notes()
    names = [_identity(row, mapping.identity, f"{path}, line {line}") for line, row in table]
    _note_people(names, table, mapping, notes)
    controls = _controls(path, table, mapping, notes)
    attributes = _read_attributes(source, mapping, names, notes)
    files = _find_pictures(source, mapping, table, notes)
    people = {name: index for index, name in enumerate(dict.fromkeys(names))}

    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(out) as folder:
        size_px, places = _copy_pictures(path, table, files, folder, notes, opaque=opaque, progress=progress)
        rows = [
            FrameRow(
                *place,
                people[name],
                tuple(values),
                {str(key): _place(region, mapping, values, size_px) for key, region in mapping.regions.items()},
            )
            for place, name, values in zip(places, names, controls.tolist(), strict=True)
        ]
        manifest = Manifest(
            format=1,
            name=mapping.name,
            licence=mapping.licence,
            author=mapping.author,
            source=f"imported from {source.name}",
            size_px=size_px,
            controls=mapping.ranges,
            identities=len(people),
            frames=len(rows),
            shards=tuple(sorted({row.shard for row in rows})),
            notes=notes.told(),
        )
        identities = [IdentityRow(n, None, attributes.get(key, {"source": key})) for key, n in people.items()]
        _write_lines(folder / "identities.jsonl", identities)
        _write_lines(folder / "frames.jsonl", rows)
        (folder / "dataset.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    for text in manifest.notes:
        if note is None:
            warnings.warn(f"Bunraku, {source.name}: {text}", stacklevel=2)
        else:
            note(text)
    return manifest


def _read_table(path: Path, known: Iterable[str] = (), numeric: Iterable[str] = ()) -> list[Row]:
    """All rows of a table.

    Args:
        path: a `.jsonl`; any other file is recognised as JSON lines or cells by its contents.
        known: columns by which the separator of a `.csv` is found.
        numeric: those of them that hold numbers, possibly with decimal commas.
    """
    try:
        text = decode_text(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"There is no table {path}. The mapping's `table` must name a file in the folder.") from None
    except TableError as error:
        raise DatasetError(f"{path} is not text: {error}. Save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if text.lstrip()[:1] != "{" and path.suffix.lower() != ".jsonl":
        if text.lstrip()[:1] == "[":
            raise DatasetError(
                f"{path} is a JSON list. Write one row per line, each as {{…}}, without brackets around."
            )
        try:
            return _csv_rows(text, set(known), set(numeric))
        except TableError as error:
            raise DatasetError(f"{path}, {error}. Fix or remove that line.") from None
    rows = []
    # Other Unicode line breaks may occur inside JSON text.
    for line, cells in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not cells.strip():
            continue
        try:
            rows.append((line, msgspec.json.decode(cells, type=dict[str, Any])))
        except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
            raise DatasetError(f"{path}, line {line}: {error}. Fix or remove that line.") from error
    return rows


def _csv_rows(text: str, known: set[str], numeric: set[str]) -> list[Row]:
    table = open_table(text, known.__contains__)
    rows: list[Row] = []
    for line, cells in table.rows():
        if len(cells) > len(table.header):
            raise TableError(
                f"line {line}: it has {len(cells)} cells, but the first line names {len(table.header)} columns"
            )
        padded = cells + [""] * (len(table.header) - len(cells))
        rows.append((line, {column: cell for column, cell in zip(table.header, padded, strict=True) if column}))
    numbers = [(line, row, column) for line, row in rows for column in numeric.intersection(row)]
    mark = decimal_mark(((line, row[column]) for line, row, column in numbers), table.separator)
    if mark == ",":
        for _, row, column in numbers:
            # Values that are not numbers are reported later, with their column.
            with contextlib.suppress(ValueError):
                row[column] = str(number(row[column], mark))
    return rows


def _check_columns(path: Path, table: list[Row], wanted: dict[str, str]) -> None:
    there = dict.fromkeys(column for _, row in table for column in row)
    for column, use in wanted.items():
        if column not in there:
            raise DatasetError(
                f"{path}: there is no column {column}, which the mapping names for {use}. "
                f"{did_you_mean(column, there)} It has: {shown(list(there), 12)}."
            )


def _identity(row: dict[str, Any], column: str | None, where: str) -> str:
    """The identity of a row, by the name in the table."""
    if column is None:
        return ""
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DatasetError(f"{where}: the identity column {column} is empty. Say who it is, or remove the line.")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DatasetError(f"{where}: the identity column {column} is {value!r}. Give a name or a whole number.")
    name = unicodedata.normalize("NFC", str(value)).strip()
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise DatasetError(f"{where}: the identity column {column} is {value!r}, with control characters. Remove them.")
    return name


def _note_people(names: list[str], table: list[Row], mapping: FolderMapping, notes: _Notes) -> None:
    if mapping.identity is None:
        for column in _PEOPLE.intersection(table[0][1]):
            if 1 < len({str(row.get(column)) for _, row in table}) < len(table):
                notes.add("all pictures count as one person, but a column may say who it is (`identity`)", column)
        return
    people = list(dict.fromkeys(names))
    if len(people) == len(names) and len(names) >= 4:
        notes.add(
            f"every picture is a separate person by the column {mapping.identity}; training needs several of each",
            f"line {table[0][0]}",
            len(names),
        )
    alike: dict[str, str] = {}
    for name in people:
        other = alike.setdefault(" ".join(name.casefold().replace("_", " ").split()), name)
        if other != name:
            notes.add("names that differ only in case or spaces count as two people", f'"{other[:40]}", "{name[:40]}"')


def _controls(path: Path, table: list[Row], mapping: FolderMapping, notes: _Notes) -> npt.NDArray[np.float64]:
    """Controls of every row, clipped to their ranges, [rows, controls]."""
    values = np.empty((len(table), len(mapping.controls)))
    by_column: dict[str, str] = {}
    first = f"line {table[0][0]}"
    for index, (control, column) in enumerate(mapping.controls.items()):
        other = by_column.setdefault(column.column, control)
        if other != control and other.removesuffix("Left") != control.removesuffix("Right"):
            notes.add("one column moves two controls", f"{column.column} for {other} and {control}")
        raw = np.array([_value(row, column, f"{path}, line {line}") for line, row in table])
        low, high, width = column.minimum, column.maximum, column.maximum - column.minimum
        beyond = np.maximum(raw - high, low - raw)
        worst = int(beyond.argmax())
        outside = beyond > 1e-6 * width
        if beyond[worst] > _FAR * width or outside.mean() > 0.5:
            raise DatasetError(
                f"{path}, line {table[worst][0]}: {column.column} gives {control} the value {raw[worst]:g}, and "
                f"{outside.sum()} of {len(raw)} rows lie outside its range {low:g} to {high:g}. Fix the value, or the "
                "mapping's range or `scale` (0.01 for percent, 57.2958 for radians)."
            )
        span = float(np.ptp(raw))
        if VOCABULARY[control].maximum > 1.0 and width <= math.pi:
            notes.add(
                f"{control} is in degrees and moves by only {width:g}; `scale` is 57.2958 for radians", "[controls]"
            )
        if outside.any():
            notes.add(
                f"values of {column.column} outside {control}'s range {low:g} to {high:g} are clipped to it, "
                f"the farthest is {raw[worst]:g}",
                f"line {table[int(outside.argmax())][0]}",
                int(outside.sum()),
            )
        if len(raw) > 1 and span == 0.0:
            notes.add(f"{column.column} is constant ({raw[0]:g}), so {control} cannot be learnt", first)
        elif len(raw) >= 8 and span < 0.05 * width:
            notes.add(
                f"{column.column} moves {control} by only {span:g} of its range {low:g} to {high:g}; "
                "`scale` is 57.2958 for radians",
                first,
            )
        values[:, index] = np.clip(raw, low, high)
    return values


def _value(row: dict[str, Any], column: Column, where: str) -> float:
    cell = row.get(column.column)
    try:
        value = math.nan if cell is None else number(cell) if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(f"{where}: {column.column} is {str(cell)[:40]!r}, which is not a number. Fix it.") from None
    if math.isnan(value):
        raise DatasetError(f"{where}: {column.column} is empty or missing. Fill it in, or remove the line.")
    value = value * column.scale + column.offset
    if not math.isfinite(value):
        raise DatasetError(f"{where}: {column.column} is not finite. Fix it, or remove the line.")
    return value


def _read_attributes(
    source: Path, mapping: FolderMapping, names: list[str], notes: _Notes
) -> dict[str, dict[str, Any]]:
    """Attributes of each person, by the name used in the table."""
    if mapping.identities is None or mapping.identity is None:
        return {}
    path, column = source / mapping.identities, mapping.identity
    try:
        people = msgspec.json.decode(decode_text(path.read_bytes()), type=list[dict[str, Any]])
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise DatasetError(f"{path} must be a JSON list of people, each with {column}: {error}.") from error
    attributes: dict[str, dict[str, Any]] = {}
    for index, person in enumerate(people, 1):
        if column not in person:
            raise DatasetError(f"{path} must be a JSON list of people, each with {column}; number {index} has none.")
        name = _identity(person, column, f"{path}, person {index}")
        if name in attributes:
            raise DatasetError(f"{path}: {name} appears twice. Remove one of them.")
        attributes[name] = {key: value for key, value in person.items() if key != column}
    missing = sorted(set(names) - set(attributes))
    if missing:
        raise DatasetError(
            f"{mapping.identities} says nothing about {missing[0]}. {did_you_mean(missing[0], attributes)} "
            "Add that person."
        )
    unused = [name for name in attributes if name not in set(names)]
    if unused:
        notes.add(f"people of {mapping.identities} without a picture", unused[0][:40], len(unused))
    return attributes


def _find_pictures(source: Path, mapping: FolderMapping, table: list[Row], notes: _Notes) -> list[Path]:
    """The picture of every row."""
    files: list[Path] = []
    seen: dict[str, int] = {}
    for line, row in table:
        where = f"{source / mapping.table}, line {line}"
        value = row.get(mapping.picture)
        if not isinstance(value, str) or not value.strip():
            raise DatasetError(f"{where}: there is no picture in column {mapping.picture}.")
        file = _find_picture(source, value, where)
        real = os.path.realpath(file)
        if real in seen:
            raise DatasetError(f"{where}: {value} appears already on line {seen[real]}. Remove one of the lines.")
        seen[real] = line
        files.append(file)
    for folder in dict.fromkeys(file.parent for file in files):
        for found in sorted(folder.iterdir()):
            if found.name.startswith(".") or not found.name.lower().endswith(_PICTURES):
                continue
            if os.path.realpath(found) not in seen:
                notes.add("pictures that the table does not name are left out", found.name)
    return files


def _find_picture(source: Path, value: str, where: str) -> Path:
    """Resolve a file inside the folder, also from a table of another system: backslashes, other forms of accents."""
    if "\0" in value:
        raise DatasetError(f"{where}: the picture {value!r} has a NUL in its name. Fix the name.")
    inside = PurePosixPath(value.replace("\\", "/"))
    # "C:a.png" is a plain name on other systems, if such a file exists.
    on_drive = bool(PureWindowsPath(value).drive) and (os.name == "nt" or not os.path.lexists(source / value))
    if inside.is_absolute() or on_drive or ".." in inside.parts:
        raise DatasetError(f"{where}: {value} lies outside the folder. Use paths inside it.")
    if os.path.lexists(source / value):
        return source / value
    place = source
    for part in inside.parts:
        try:
            names = [entry.name for entry in place.iterdir()]
        except (OSError, ValueError):
            names = []
        same = [name for name in names if name == part] or [
            name for name in names if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", part)
        ]
        if len(same) != 1:
            near = [name for name in names if _folded(name) == _folded(part)]
            hint = did_you_mean(part, names, near[0] if near else None)
            many = " in several forms of the same accents" if same else ""
            raise DatasetError(
                f"{where}: the picture {place / part} is in the table but not in the folder{many}. {hint}".strip()
            )
        place = place / same[0]
    return place


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _copy_pictures(
    path: Path,
    table: list[Row],
    files: list[Path],
    folder: Path,
    notes: _Notes,
    *,
    opaque: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, list[tuple[str, str]]]:
    """Fill the shards; returns the pictures' size, and the shard and name of each."""
    places: list[tuple[str, str]] = []
    seen: dict[bytes, str] = {}
    size_px = 0
    with contextlib.ExitStack() as stack:
        for index, ((line, _), file) in enumerate(zip(table, files, strict=True)):
            try:
                data, size_px = _encode(file, size_px, f"{file.name} (line {line})", notes, opaque=opaque)
            except DatasetError as error:
                raise DatasetError(f"{path}, line {line}: the picture {file} {error}") from error
            other = seen.setdefault(hashlib.sha256(data).digest(), file.name)
            if other != file.name:
                notes.add("pictures that show the same as another one", f"{file.name} and {other}")
            shard, name = f"shard-{index // FRAMES_PER_SHARD:05d}.zip", f"{index:07d}.webp"
            if index % FRAMES_PER_SHARD == 0:
                stack.close()
                archive = stack.enter_context(zipfile.ZipFile(folder / shard, "w", zipfile.ZIP_STORED))
            # A fixed time stamp: the same folder gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data)
            places.append((shard, name))
            if progress:
                progress(index + 1, len(table))
    return size_px, places


def _encode(file: Path, size_px: int, place: str, notes: _Notes, *, opaque: bool) -> tuple[bytes, int]:
    """Check one picture and encode it losslessly; returns the bytes and its size."""
    picture, changes = read_picture(file, opaque=opaque)
    if picture.width != picture.height:
        raise DatasetError(f"is {picture.width}x{picture.height} px; pictures must be square. Pad it.")
    if size_px and picture.width != size_px:
        raise DatasetError(f"is {picture.width} px wide, the ones before it {size_px} px. Bring all to one size.")
    for change in changes:
        notes.add(f"picture that {change}", place)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
    return buffer.getvalue(), picture.width


def _place(region: Region, mapping: FolderMapping, values: list[float], size_px: int) -> tuple[int, int, int, int]:
    """The region's box in one picture, in pixels, inside the picture."""
    moved = {name: value - column.rest for (name, column), value in zip(mapping.controls.items(), values, strict=True)}
    right = sum(moved[name] * shift[0] for name, shift in region.follow.items())
    down = sum(moved[name] * shift[1] for name, shift in region.follow.items())
    x0, y0, x1, y1 = region.box
    inside = (min(max(round(v * size_px), 0), size_px) for v in (x0 + right, y0 + down, x1 + right, y1 + down))
    return next(inside), next(inside), next(inside), next(inside)


def _write_lines(path: Path, rows: list[Any]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
