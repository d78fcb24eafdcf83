"""Live Link Face CSV, as written by the app and as saved again by spreadsheets.

A file holds one row per frame: a timecode `HH:MM:SS:FF.fff`, 52 ARKit shapes, head and eye rotations in radians. Its
eyes turn positive to the performer's right and down (measured against the eyeLook shapes: 33 to 36 degrees per unit, of
opposite sign to ours), so both gaze angles change sign here. Its head turns positive to the left and up (derived from a
capture in which the eyes counter the head); roll is taken as positive to the right shoulder.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import RecordingError
from runtime.character.controls import ARKIT_BLENDSHAPES
from runtime.tables import Table, TableError, counted, decimal_mark, number, open_table, shown

from .timecode import Stamp, parse_timecode, to_seconds

MAX_COLUMNS: Final = 256
_DEGREES: Final = 180.0 / math.pi

# (our control, its columns, sign) for everything in a Live Link Face file that is not an ARKit shape.
_POSES: Final = (
    ("headYaw", ("headyaw",), 1.0),
    ("headPitch", ("headpitch",), 1.0),
    ("headRoll", ("headroll",), -1.0),
    ("gazeYaw", ("lefteyeyaw", "righteyeyaw"), -1.0),
    ("gazePitch", ("lefteyepitch", "righteyepitch"), -1.0),
)
_TIMECODE: Final = "timecode"
_COUNT: Final = "blendshapecount"
_UNUSED: Final = (_TIMECODE, _COUNT, "lefteyeroll", "righteyeroll")

# Larger rotations cannot be in radians: a camera does not see a face turned by more than 103 degrees.
_RADIANS_TURN: Final = 1.8
_RADIANS_ROLL: Final = 3.2
_RADIANS_DOUBTFUL: Final = 1.2
_LARGEST: Final = 1e6

Numbers = npt.NDArray[np.float64]


def plain_name(column: str) -> str:
    """A column's name without case, spaces and signs; `Eye Blink_L` and `eyeBlinkLeft` are both `eyeblinkleft`."""
    words = re.sub(r"[^a-z0-9]", "", column.lower())
    return _SIDES.get(words, words)


_SHAPES: Final = {shape.lower(): shape for shape in ARKIT_BLENDSHAPES}
_SIDES: Final = {
    key.removesuffix(side) + side[0]: key for key in _SHAPES for side in ("left", "right") if key.endswith(side)
} | {
    f"eye{axis}{side[0] if short else side}": f"{side}eye{axis}"
    for axis in ("yaw", "pitch", "roll")
    for side in ("left", "right")
    for short in (True, False)
}
_KNOWN: Final = {*_SHAPES, *_UNUSED, *(column for _, columns, _ in _POSES for column in columns)}


@dataclass(frozen=True, slots=True)
class Take:
    """The contents of a file, in our units.

    Attributes:
        names: the controls.
        times_s: float64 [n], non-decreasing, starting at 0.
        values: float64 [n, len(names)], finite.
        warnings: anomalies and how they were handled.
    """

    names: tuple[str, ...]
    times_s: Numbers
    values: Numbers
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a file.

    Attributes:
        columns: plain name of each column of `numbers`, and its name in the file.
        stamps: time codes.
        lines: line numbers in the file.
        numbers: [n, columns], as written; NaN where a cell is empty.
        no_face: bool [n], the file reports that the face was lost.
    """

    columns: dict[str, str]
    stamps: list[Stamp]
    lines: list[int]
    numbers: Numbers
    no_face: npt.NDArray[np.bool_]


def parse_live_link_face(text: str, name: str) -> Take:
    """Read the text of a file.

    Raises:
        RecordingError: names the file and the line.
    """
    warnings: list[str] = []
    try:
        table = open_table(text, lambda column: plain_name(column) in _KNOWN)
        rows = _read_rows(table, _find_columns(table, name, warnings), name, warnings)
    except TableError as error:
        raise RecordingError(f"{name}, {error}. Save the table again as CSV in UTF-8.") from None
    numbers = rows.numbers
    numbers[_no_face(rows)] = np.nan
    lost = np.asarray(np.isnan(numbers).all(1))
    if lost.all():
        raise RecordingError(f"{name} has no row with a face: all values are missing. Record it again.")
    times_s, order = to_seconds(rows.stamps, rows.lines, name, warnings)
    lines = np.array(rows.lines)[order]
    numbers, lost = numbers[order], lost[order]
    if lost.any():
        warnings.append(
            f"{name}: {counted(lost.sum(), 'row')} without a face, first in line {lines[lost][0]}, "
            "filled in from the rows around"
        )
    numbers, columns = _fill(numbers, rows.columns, times_s, lost, lines, name, warnings)
    out = _shapes(numbers, columns, lines, name, warnings) | _poses(numbers, columns, lines, name, warnings)
    lacking = [shape for shape in ARKIT_BLENDSHAPES if shape not in out]
    if lacking:
        warnings.append(f"{name} has no column for {len(lacking)} of the 52 ARKit shapes ({shown(lacking)})")
    return Take(tuple(out), times_s, np.column_stack(list(out.values())), warnings)


def _find_columns(table: Table, name: str, warnings: list[str]) -> dict[str, int]:
    """Index of each used column, by its plain name, in the file's order."""
    where: dict[str, int] = {}
    unknown: list[str] = []
    for index, column in enumerate(table.header):
        key = plain_name(column)
        if key in where:
            raise RecordingError(
                f'{name}, line 1: the columns "{table.header[where[key]][:40]}" and "{column[:40]}" mean the same. '
                "Remove one of them."
            )
        if key in _KNOWN:
            where[key] = index
        elif column:
            unknown.append(column)
    if _TIMECODE not in where or len(table.header) > MAX_COLUMNS:
        raise RecordingError(
            f"{name} has no Timecode column in its first line, so it is not a Live Link Face recording "
            f"(columns: {shown(table.header) or 'none'}). "
            "Give a Live Link Face .csv or a Bunraku .jsonl, or add the time of each row as Timecode, HH:MM:SS:FF."
        )
    if not any(key in where for key in _KNOWN.difference(_UNUSED)):
        raise RecordingError(f"{name} has none of the ARKit shapes among its columns. Record in ARKit mode.")
    if unknown:
        warnings.append(
            f"{name}: {counted(len(unknown), 'column')} without a meaning here, left out ({shown(unknown)})"
        )
    return where


def _read_rows(table: Table, columns: dict[str, int], name: str, warnings: list[str]) -> _Rows:
    """Times and numbers of all rows; a torn last line is skipped."""
    clock, count = columns.pop(_TIMECODE), columns.pop(_COUNT, None)
    for key in _UNUSED:
        columns.pop(key, None)
    needed, width = list(columns.values()), len(table.header)
    # The usual file cannot have commas in its cells and skips a full parse.
    mark = "."
    if '"' in table.text or table.separator != ",":
        mark = decimal_mark(
            ((line, cells[index]) for line, cells in table.rows() for index in needed if index < len(cells)),
            table.separator,
        )
    numbers, stamps, lines, no_face = array("d"), [], array("Q"), array("b")
    timeless: list[int] = []
    torn: RecordingError | None = None
    torn_line = 0
    for line, cells in table.rows():
        if torn is not None:
            break
        short = len(cells) != width
        try:
            none = count is not None and count < len(cells) and cells[count].strip() in ("0", "0.0", "0,0")
            if short and (none or _is_empty(cells, needed)) and len(cells) < width:
                values = [math.nan] * len(needed)
            elif short:
                raise RecordingError(_wrong_length(len(cells), width, table.separator))
            else:
                values = _numbers(cells, needed, mark, table.header)
            empty = all(map(math.isnan, values))
            if (empty or none) and not (clock < len(cells) and cells[clock].strip()):
                timeless.append(line)
                continue
            stamps.append(parse_timecode(cells[clock] if clock < len(cells) else ""))
        except RecordingError as error:
            torn, torn_line = error, line
            continue
        numbers.extend(values)
        lines.append(line)
        no_face.append(none or empty)
    else:
        if torn is not None and stamps:
            warnings.append(f"{name}: the last line is torn ({torn}) and was skipped")
            torn = None
    if torn is not None:
        raise RecordingError(f"{name}, line {torn_line}: {torn}. Fix the line, or cut the file before it.")
    if not stamps:
        raise RecordingError(f"{name} holds no rows. Record it again.")
    if timeless:
        warnings.append(
            f"{name}: {counted(len(timeless), 'row')} with neither a face nor a time, left out, "
            f"first in line {timeless[0]}"
        )
    shape = (len(stamps), len(needed))
    names = {key: table.header[index] for key, index in columns.items()}
    table_numbers = np.array(numbers, np.float64).reshape(shape)
    return _Rows(names, stamps, lines.tolist(), table_numbers, np.array(no_face, np.bool_))


def _wrong_length(found: int, width: int, separator: str) -> str:
    text = f"has {found} values where the first line names {width}"
    if found > width and separator == ",":
        text += " (numbers with decimal commas need another separator, for example a semicolon)"
    return text


def _is_empty(cells: Sequence[str], needed: Sequence[int]) -> bool:
    return not any(cells[index].strip() for index in needed if index < len(cells))


def _numbers(cells: Sequence[str], needed: Sequence[int], mark: str, header: Sequence[str]) -> list[float]:
    values = []
    for index in needed:
        cell = cells[index]
        try:
            # Nearly all cells can be read by `float`, which is fast; but it accepts "1_0" as well.
            value = number(cell, mark) if mark != "." or "_" in cell else float(cell)
        except ValueError:
            written = cell.rstrip()
            try:
                value = number(written.removesuffix("%"), mark) / (100.0 if written.endswith("%") else 1.0)
            except ValueError:
                raise RecordingError(f'{header[index]} is "{cell[:40]}", which is not a number') from None
        if abs(value) > _LARGEST:
            raise RecordingError(f"{header[index]} is {cell.strip()[:40]}, which no tracker produces")
        values.append(value)
    return values


def _no_face(rows: _Rows) -> npt.NDArray[np.bool_]:
    """Rows in which the tracker had lost the face: the file says so, or everything drops to zero at once."""
    numbers = rows.numbers
    no_face = rows.no_face
    if no_face.all() and not np.isnan(numbers).all():
        no_face = np.asarray(np.isnan(numbers).all(1))  # a writer that never fills in the count
    zero = np.asarray((numbers == 0.0).all(1)) & ~no_face
    alive = np.flatnonzero(~zero & ~no_face)
    if len(rows.columns) < 4 or not zero.any() or not len(alive):
        return no_face
    where = np.flatnonzero(zero)
    after = np.searchsorted(alive, where).clip(0, len(alive) - 1)
    before = (after - 1).clip(0)
    nearer = np.where(np.abs(alive[before] - where) < np.abs(alive[after] - where), alive[before], alive[after])
    # An animated take may begin or end at rest, but it gets there gradually, and not with all columns at once.
    beside = np.abs(np.nan_to_num(numbers[nearer]))
    abrupt = ((beside > 0.0).sum(1) >= 4) & (beside.max(1) >= 0.1)
    dropped = np.zeros(len(numbers), np.bool_)
    dropped[where[abrupt]] = True
    return np.logical_or(no_face, dropped)


def _fill(
    numbers: Numbers,
    columns: dict[str, str],
    times_s: Numbers,
    lost: npt.NDArray[np.bool_],
    lines: npt.NDArray[np.int_],
    name: str,
    warnings: list[str],
) -> tuple[Numbers, dict[str, int]]:
    """Interpolate linearly over empty cells; columns that are entirely empty are dropped.

    Returns:
        The numbers, finite, and the index of each column in them, by its plain name.
    """
    empty = np.isnan(numbers)
    bare = np.asarray(empty.all(0))
    if bare.any():
        names = [column for column, gone in zip(columns.values(), bare, strict=True) if gone]
        warnings.append(f"{name}: {counted(len(names), 'column')} empty throughout, left out ({shown(names)})")
    kept = [key for key, gone in zip(columns, bare, strict=True) if not gone]
    numbers, empty = numbers[:, ~bare], empty[:, ~bare]
    holes = empty & ~lost[:, None]
    if holes.any():
        row, column = (int(index[0]) for index in np.nonzero(holes))
        warnings.append(
            f"{name}: {counted(holes.sum(), 'empty cell')}, first {columns[kept[column]]} in line {lines[row]}, "
            "filled in from the rows around"
        )
    for column in np.flatnonzero(empty.any(0)).tolist():
        there = ~empty[:, column]
        numbers[:, column] = np.interp(times_s, times_s[there], numbers[there, column])
    return numbers, {key: index for index, key in enumerate(kept)}


def _shapes(
    numbers: Numbers, columns: dict[str, int], lines: npt.NDArray[np.int_], name: str, warnings: list[str]
) -> dict[str, Numbers]:
    """The ARKit shapes, 0..1."""
    keys = [key for key in columns if key in _SHAPES]
    if not keys:
        return {}
    shapes = numbers[:, [columns[key] for key in keys]]
    highest = shapes.max(0)
    row, column = np.unravel_index(int(shapes.argmax()), shapes.shape)
    top = f"{_SHAPES[keys[column]]} reaches {shapes[row, column]:g} in line {lines[row]}"
    # A tracker that slips gives single values beyond the range; percentages are beyond it nearly always.
    if np.count_nonzero(shapes > 2.0) >= max(1, 0.05 * np.count_nonzero(shapes > 0.0)):
        within = int(((highest > 0.2) & (highest <= 1.0)).sum())
        beyond = int((highest > 2.0).sum())
        if shapes.max() > 150.0 or within > beyond:
            more = f", but {within} other shapes stay within 0..1" if within > beyond else ""
            raise RecordingError(
                f"{name}: {top}{more}. Shapes are 0..1, or percent (0..100) in all columns. Scale the columns."
            )
        warnings.append(f"{name}: {top}, so all shapes are read as percent and divided by 100")
        shapes = shapes / 100.0
    high, low = (shapes > 1.05).any(1), (shapes < -0.05).any(1)
    if high.any():
        warnings.append(f"{name}: shapes above 1 are cut to 1 in {counted(high.sum(), 'row')}; {top}")
    if low.any():
        warnings.append(
            f"{name}: shapes below 0 are cut to 0 in {counted(low.sum(), 'row')}, first in line {lines[low][0]}, "
            f"the lowest is {shapes.min():g}"
        )
    return {_SHAPES[key]: np.clip(shapes[:, index], 0.0, 1.0) for index, key in enumerate(keys)}


def _poses(
    numbers: Numbers, columns: dict[str, int], lines: npt.NDArray[np.int_], name: str, warnings: list[str]
) -> dict[str, Numbers]:
    """Head and gaze in degrees, with our signs."""
    out: dict[str, Numbers] = {}
    for part in ("head", "gaze"):
        found = {
            control: (numbers[:, [columns[key] for key in keys if key in columns]], sign)
            for control, keys, sign in _POSES
            if control.startswith(part) and any(key in columns for key in keys)
        }
        # All zeros means that the head was not tracked (a head-mounted rig), not that it was still.
        found = {control: (angles, sign) for control, (angles, sign) in found.items() if angles.any()}
        in_degrees = any(_beyond_radians(control, angles) for control, (angles, _) in found.items())
        if in_degrees:
            control = max(found, key=lambda control: float(np.abs(found[control][0]).max()))
            angles = np.abs(found[control][0]).max(1)
            warnings.append(
                f"{name}: {control} reaches {angles.max():g} in line {lines[angles.argmax()]}, which cannot be "
                f"radians, so rotations of the {part} are read as degrees ({', '.join(found)})"
            )
        for control, (angles, sign) in found.items():
            factor = sign if in_degrees else sign * _DEGREES
            out[control] = factor * angles.mean(axis=1)
            size = np.abs(angles).max(1)
            if not in_degrees and size.max() > _RADIANS_DOUBTFUL:
                warnings.append(
                    f"{name}: {control} is read as radians and reaches {size.max() * _DEGREES:.0f} degrees in line "
                    f"{lines[size.argmax()]}; if the file holds degrees, convert them to radians"
                )
    return out


def _beyond_radians(control: str, angles: Numbers) -> bool:
    limit = _RADIANS_ROLL if control == "headRoll" else _RADIANS_TURN
    return bool((np.abs(angles).max(1) > limit).mean() >= 0.01)
