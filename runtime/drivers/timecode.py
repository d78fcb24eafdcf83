"""Time codes of a take, converted to seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import RecordingError
from runtime.tables import counted

TIMECODE_RATES: Final = (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120)
_DROP_FRAME_RATES: Final = (30, 60)  # 29.97 and 59.94
_DAY_S: Final = 86_400.0
_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LATE_ROWS: Final = 8

_FORM: Final = re.compile(r"(\d{1,3})[:;](\d{1,3})[:;](\d{1,3})([:;.,])(\d+)(?:[.,](\d*))?", re.ASCII)

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stamp:
    """One time code.

    Attributes:
        seconds: whole seconds since midnight.
        frames: frames of that second with their fraction, or the decimals after the seconds.
        form: separator before the frames: `:`, `;` (drop-frame), `.` (drop-frame, or decimals of the second).
        digits: number of digits of `frames` before its fraction.
    """

    seconds: int
    frames: float
    form: str
    digits: int


def parse_timecode(cell: str) -> Stamp:
    """Parse `HH:MM:SS:FF.fff`, `HH:MM:SS;FF`, `HH:MM:SS.FF` or `HH:MM:SS.mmm`.

    Raises:
        RecordingError: it is none of these; the message names no file or line.
    """
    found = _FORM.fullmatch(cell.strip())
    if found is None or (found[4] in ".," and found[6] is not None) or len(found[5]) > 9:
        raise RecordingError(f'the timecode "{cell[:40]}" is not HH:MM:SS:FF.fff')
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3])
    form, digits = found[4].replace(",", "."), len(found[5])
    frames = float(f"{found[5]}.{found[6] or 0}")
    if hours > 99 or minutes > 59 or seconds > 59 or (frames >= 240.0 and not (form == "." and digits > 2)):
        raise RecordingError(f'the timecode "{cell[:40]}" is out of range')
    return Stamp(hours * 3600 + minutes * 60 + seconds, frames, form, digits)


def to_seconds(
    stamps: Sequence[Stamp], lines: Sequence[int], name: str, warnings: list[str]
) -> tuple[Seconds, npt.NDArray[np.intp]]:
    """Seconds of every row, from the first on.

    The file does not state how many timecode frames make a second, and it need not be the frame rate of the rows (60 to
    the second for rows at 30 is usual). The right number is the one that makes the steps most even. A clock that goes
    back, or forward by more than a minute, was reset; the rows before and after such a jump are joined.

    Args:
        stamps: one per row, at least one.
        lines: of the file, for messages.
        name: of the file.
        warnings: receives messages for people.

    Raises:
        RecordingError: rows have time codes of different forms.

    Returns:
        float64 [n], non-decreasing, starting at 0; and their rows, in order of time.
    """
    for stamp, line in zip(stamps, lines, strict=True):
        if (stamp.form == ".") != (stamps[0].form == "."):
            raise RecordingError(
                f"{name}, line {line}: the timecode has another form than in line {lines[0]}. Use one form throughout."
            )
    seconds = np.array([stamp.seconds for stamp in stamps], np.float64)
    # Past midnight the clock restarts; a clock that was set back by half a day is another matter.
    steps = np.diff(seconds)
    midnight = (steps < 0.0) & (steps + _DAY_S <= _LONGEST_PAUSE_S)
    seconds += _DAY_S * np.concatenate(([0], np.cumsum(midnight)))
    raw_s = _with_frames(stamps, seconds)
    raw_s -= raw_s[0]

    steps = np.diff(raw_s)
    rising = steps[steps > 0.0]
    step_s = float(np.median(rising)) if len(rising) else 1.0 / 60.0
    late: list[int] = []
    jumps: list[int] = []
    for row in np.flatnonzero((steps < 0.0) | (steps > max(_LONGEST_PAUSE_S, 20.0 * step_s))).tolist():
        (late if steps[row] < 0.0 and _is_late(raw_s, row + 1, step_s) else jumps).append(row)
    times_s = raw_s
    if jumps:
        shift = np.zeros(len(raw_s))
        shift[np.array(jumps) + 1] = step_s - steps[jumps]
        times_s = raw_s + np.cumsum(shift)
        warnings.append(
            f"{name}: the time code jumps {_times(len(jumps))}, first by {steps[jumps[0]] - step_s:+.2f} s in line "
            f"{lines[jumps[0] + 1]}; the take goes on without the jump"
        )
    order = np.arange(len(times_s))
    if late:
        order = np.argsort(times_s, kind="stable")
        times_s = times_s[order]
        times_s = times_s - times_s[0]
        warnings.append(
            f"{name}: {counted(len(late), 'row')} later than the time code says, first in line {lines[late[0] + 1]}; "
            "all rows are sorted by time"
        )
    steps = np.diff(times_s)
    pauses = np.flatnonzero(steps > max(_PAUSE_S, 5.0 * step_s))
    if len(pauses):
        longest = pauses[np.argmax(steps[pauses])]
        warnings.append(
            f"{name}: the time code has a gap {_times(len(pauses))}, the longest of {steps[longest]:.2f} s before line "
            f"{lines[order[longest + 1]]}; it stays a pause"
        )
    same = np.flatnonzero(steps <= 0.0)
    if len(same):
        warnings.append(
            f"{name}: {counted(len(same), 'row')} with the time of the row after, left out, first in line "
            f"{lines[order[same[0]]]}"
        )
    return times_s, order


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _is_late(raw_s: Seconds, row: int, step_s: float) -> bool:
    """Whether a row with an earlier time than the one above it fills a gap there; otherwise the clock was set back."""
    before = raw_s[max(0, row - _LATE_ROWS) : row]
    after = raw_s[row + 1 : row + 1 + _LATE_ROWS]
    fills = float(np.abs(before - raw_s[row]).min()) > 0.5 * step_s and float(before.min()) < raw_s[row]
    return fills and (len(after) == 0 or bool((after > before.max()).any()))


def _with_frames(stamps: Sequence[Stamp], seconds: Seconds) -> Seconds:
    """Whole seconds and frames together, at the rate that makes the steps most even."""
    frames = np.array([stamp.frames for stamp in stamps], np.float64)
    forms = {stamp.form for stamp in stamps}
    if forms == {"."} and any(stamp.digits != 2 for stamp in stamps):
        return seconds + frames / 10.0 ** np.array([stamp.digits for stamp in stamps])
    rates = [rate for rate in TIMECODE_RATES if rate > frames.max()] or [240]
    # Rows between which the clock was set, or that share one time, say nothing about the rate.
    whole = np.diff(seconds)
    told = (whole >= 0.0) & (whole <= _LONGEST_PAUSE_S) & ((whole > 0.0) | (np.diff(frames) != 0.0))
    # What is most even within one second need not be so over several.
    if whole[told].any() and len(rates) > 1:
        rate = min(rates, key=lambda rate: _unevenness(np.diff(seconds + frames / rate)[told]))
    else:
        rate = next(rate for rate in (60, 120, rates[0]) if rate in rates)
    if ":" in forms or rate not in _DROP_FRAME_RATES:
        return seconds + frames / rate
    # SMPTE ST 12-1: at 29.97 the numbers 0 and 1 (at 59.94: 0 to 3) are skipped at each minute not divisible by ten.
    minutes = np.floor(seconds / 60.0)
    counted = seconds * rate + frames - rate // 15 * (minutes - np.floor(minutes / 10.0))
    exact: Seconds = counted * 1.001 / rate
    return exact


def _unevenness(steps: Seconds) -> float:
    return float(np.mean(np.abs(steps - np.median(steps))))
