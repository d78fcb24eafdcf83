"""Mapping files: the meaning of the columns of a foreign table."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Literal

import msgspec

from runtime.tables import TableError, decode_text
from training.data.control_ranges import ControlRange, check_ranges
from training.errors import DatasetError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Source of one control: value = column * scale + offset, clipped to the range."""

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
    """Meaning of the columns of a table."""

    name: str
    licence: str
    author: str
    controls: dict[str, Column]  # our control name -> where it comes from
    table: str = "parameters.jsonl"  # .jsonl or .csv, in the folder
    picture: str = "file"  # column with the picture's path in the folder
    identity: str | None = None  # column that names the person; one identity if absent
    identities: str | None = None  # .json in the folder: a list of people, with that column and their attributes
    regions: dict[Literal["eyeLeft", "eyeRight", "mouth"], Region] = {}

    @property
    def ranges(self) -> tuple[ControlRange, ...]:
        """The controls as a data set lists them."""
        return tuple(ControlRange(name, c.minimum, c.maximum, c.rest) for name, c in self.controls.items())


def read_mapping(path: Path) -> FolderMapping:
    """Read a mapping file.

    Raises:
        DatasetError: missing, not TOML, with unknown or missing fields, or with an impossible control or region.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(decode_text(path.read_bytes())), FolderMapping)
    except FileNotFoundError:
        raise DatasetError(f"There is no mapping file {path}. Copy one from training/recipes/mappings.") from None
    except (OSError, TableError, tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise DatasetError(f"{path}: {error}. docs/training.md lists the fields.") from error
    check_mapping(mapping, str(path))
    return mapping


def check_mapping(mapping: FolderMapping, where: str) -> None:
    """Reject an impossible mapping.

    Args:
        mapping: from a file, or created by a program.
        where: the file, for the message.

    Raises:
        DatasetError: a region, a control's name or range, or a scale is impossible.
    """
    for name, region in mapping.regions.items():
        x0, y0, x1, y1 = region.box
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise DatasetError(
                f"{where}: regions.{name} has box {list(region.box)}; give x0 < x1 and y0 < y1 within 0..1."
            )
        unknown = sorted(set(region.follow) - set(mapping.controls))
        if unknown:
            raise DatasetError(
                f"{where}: regions.{name} follows {unknown[0]}, which is not among [controls]. Add it there."
            )
        if not all(math.isfinite(shift) for shifts in region.follow.values() for shift in shifts):
            raise DatasetError(f"{where}: regions.{name} follows a control by no finite number. Give two numbers.")
    check_ranges(mapping.ranges, f"{where}, [controls]")
    for control, column in mapping.controls.items():
        if not (math.isfinite(column.scale) and math.isfinite(column.offset) and column.scale):
            raise DatasetError(
                f"{where}: controls.{control} has scale {column.scale:g} and offset {column.offset:g}. "
                "Give finite numbers, and a scale other than 0."
            )
    if mapping.identities is not None and mapping.identity is None:
        raise DatasetError(
            f"{where}: the mapping names {mapping.identities} but no `identity` column to find people by. Add it."
        )
