"""Recordings of controls: Live Link Face CSV, and our own JSONL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from engine_bridge.errors import ControlError, DriverError, RecordingError
from engine_bridge.plain_text import LINE_CHARS, plain, plain_lines
from runtime.character.controls import VOCABULARY, check_controls, check_names
from runtime.character.idle import IdleSettings
from runtime.tables import TableError, decode_text

from .base import Kind
from .live_link_face import parse_live_link_face

MAX_BYTES: Final = 512 << 20
_SEAM_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Recording:
    """Controls over time.

    Attributes:
        names: the controls.
        times_s: float64 [n], rising, starting at 0.
        values: float32 [n, len(names)], finite, natural units.
        warnings: what was skipped while reading, for people.
    """

    names: tuple[str, ...]
    times_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Time from the first row to the last."""
        return float(self.times_s[-1])

    def at(self, t_s: float) -> npt.NDArray[np.float32]:
        """Values at a time, interpolated linearly between rows, held before the first and after the last."""
        times = self.times_s
        after = int(np.searchsorted(times, t_s, side="right"))
        if after in (0, len(times)):
            edge: npt.NDArray[np.float32] = self.values[0 if after == 0 else -1]
            return edge
        share = np.float32((t_s - times[after - 1]) / (times[after] - times[after - 1]))
        low, high = self.values[after - 1], self.values[after]
        between: npt.NDArray[np.float32] = low + share * (high - low)
        return between


class RecordingDriver:
    """Plays a recording from the first frame on."""

    name = "recording"
    attack_s = 0.25
    tracks = True

    def __init__(
        self, recording: Recording, *, speed: float = 1.0, loop: bool = True, smooth: bool = False, start_s: float = 0.0
    ) -> None:
        """Make a player.

        Args:
            recording: what to play.
            speed: 2 plays twice as fast.
            loop: restart at the end with a short cross-fade; otherwise the character falls back to idle.
            smooth: pass the values through a One-Euro filter.
            start_s: where in the recording to begin.
        """
        self.smooth = smooth
        self._recording = recording
        self._speed = speed
        self._loop = loop
        self._offset_s = start_s
        self._start_ns: int | None = None

    def sample(self, now_ns: int) -> Mapping[str, float] | None:
        """Controls at this time; None after the end of a recording that does not loop."""
        if self._start_ns is None:
            self._start_ns = now_ns
        recording = self._recording
        t_s = self._offset_s + self._speed * (now_ns - self._start_ns) / 1e9
        length = recording.duration_s
        if t_s <= length or length <= 0.0:
            values = recording.at(t_s)
        elif not self._loop:
            return None
        else:
            # The end fades into the beginning, so a loop is as long as the recording minus the seam.
            seam = min(_SEAM_S, 0.5 * length)
            t_s = seam + (t_s - seam) % (length - seam)
            values = recording.at(t_s)
        if self._loop and length > 0.0:
            seam = min(_SEAM_S, 0.5 * length)
            left = length - t_s
            if 0.0 <= left < seam:
                share = np.float32(1.0 - left / seam)
                values = values + share * (recording.at(seam - left) - values)
        return dict(zip(recording.names, values.tolist(), strict=True))


def read_recording(path: str | Path, *, invert: tuple[str, ...] = ()) -> Recording:
    """Read a recording; the format is detected from its contents.

    Args:
        path: a Live Link Face CSV, or JSONL with one `{"t_s": seconds, "controls": {name: value}}` per line.
        invert: controls whose sign is inverted.

    Raises:
        RecordingError: the file is missing, of another kind, or invalid; names the line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecordingError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB. Cut it into shorter recordings.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecordingError(f'There is no recording "{path}". Check the path.') from None
    except (OSError, ValueError) as error:
        raise RecordingError(f"Could not read the recording {path}: {error}.") from error
    recording = parse_recording(data, path.name)
    for name in invert:
        if name not in recording.names:
            raise RecordingError(f"{path.name} has no {name} to invert. Available: {', '.join(recording.names)}.")
    if not invert:
        return recording
    signs = np.array([-1.0 if name in invert else 1.0 for name in recording.names], np.float32)
    return Recording(recording.names, recording.times_s, recording.values * signs, recording.warnings)


def from_neutral(recording: Recording, neutral: str) -> Recording:
    """Measure every control from a neutral pose, so that a face resting with half-closed eyes does not stay sleepy.

    Args:
        recording: what was read.
        neutral: `median` for the performer's most common pose, or a time in seconds.

    Raises:
        RecordingError: it is neither, or beyond the recording.
    """
    if neutral == "median":
        pose = np.median(recording.values, axis=0)
    else:
        try:
            t_s = float(neutral)
        except ValueError:
            t_s = math.nan
        if not 0.0 <= t_s <= recording.duration_s:
            raise RecordingError(
                f'neutral is "{neutral[:40]}"; write median, or a time from 0 to {recording.duration_s:.2f} seconds.'
            )
        pose = recording.at(t_s)
    signed = np.array([VOCABULARY[name].minimum < 0.0 for name in recording.names])
    # No neutral face is at the end of a shape's range; without this limit, noise there would become full motion.
    pose = np.where(signed, pose, np.minimum(pose, 0.6)).astype(np.float32)
    values = recording.values - pose
    values = np.where(signed, values, np.clip(values / (1.0 - np.where(signed, 0.0, pose)), 0.0, 1.0))
    return Recording(recording.names, recording.times_s, values.astype(np.float32), recording.warnings)


def parse_recording(data: bytes, name: str) -> Recording:
    """Parse a recording.

    Raises:
        RecordingError: names the file and the line.
    """
    try:
        text = decode_text(data)
    except TableError as error:
        raise RecordingError(
            f"{name} is not text ({error}). Give a Live Link Face .csv or a Bunraku .jsonl, saved as UTF-8."
        ) from None
    try:
        if text.lstrip()[:1] == "{":
            return _parse_jsonl(text, name)
        take = parse_live_link_face(text, name)
        return _recording(take.names, take.times_s, take.values, take.warnings)
    except RecordingError as error:
        raise RecordingError(plain_lines(str(error))) from error


class _Line(msgspec.Struct, frozen=True):
    t_s: float
    controls: dict[str, float]


def _parse_jsonl(text: str, name: str) -> Recording:
    decoder = msgspec.json.Decoder(_Line)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows: list[_Line] = []
    warnings: list[str] = []
    for number, line in lines:
        try:
            row = decoder.decode(line)
            if not math.isfinite(row.t_s) or abs(row.t_s) > 1e7:
                raise RecordingError(f"t_s is {row.t_s}")
            check_controls(row.controls)
        except (msgspec.DecodeError, RecordingError, ControlError, RecursionError, UnicodeEncodeError) as error:
            if number == lines[-1][0] and rows and isinstance(error, msgspec.DecodeError):
                warnings.append(f"{name}: the last line is torn and was skipped")
                break
            raise RecordingError(f"{name}, line {number}: {error}") from None
        if rows and row.t_s < rows[-1].t_s:
            raise RecordingError(
                f"{name}, line {number}: t_s goes back from {rows[-1].t_s} to {row.t_s}. Sort the lines."
            )
        rows.append(row)
    names = tuple(dict.fromkeys(control for row in rows for control in row.controls))
    if not names:
        raise RecordingError(f'{name} moves no control. Each line is {{"t_s": 0.0, "controls": {{"jawOpen": 0.5}}}}.')
    # A control that a line omits keeps its last value; before its first mention it has its first one.
    values = np.empty((len(rows), len(names)), np.float64)
    held = {control: next(row.controls[control] for row in rows if control in row.controls) for control in names}
    for index, row in enumerate(rows):
        held.update(row.controls)
        values[index] = [held[control] for control in names]
    weights = [index for index, control in enumerate(names) if VOCABULARY[control].maximum <= 1.0]
    if weights and np.abs(values[:, weights]).max() > 1.05:
        control = names[max(weights, key=lambda index: float(np.abs(values[:, index]).max()))]
        warnings.append(f"{name}: {control} exceeds 1 and will be clipped; if it is percent, divide it by 100")
    times_s = np.array([row.t_s for row in rows], np.float64)
    return _recording(names, times_s - times_s[0], values, warnings)


def _recording(
    names: tuple[str, ...], times_s: npt.NDArray[np.float64], values: npt.NDArray[np.float64], warnings: list[str]
) -> Recording:
    """Keep the last of several rows with one time, so that times strictly rise."""
    last = np.append(np.diff(times_s) > 0.0, True)
    with np.errstate(over="ignore"):
        kept = values[last].astype(np.float32)
    if not np.isfinite(kept).all():
        raise RecordingError("A control has a value beyond float32. Send numbers in natural units.")
    return Recording(names, times_s[last], kept, tuple(plain(warning, LINE_CHARS) for warning in warnings))


class RecordingOptions(msgspec.Struct, frozen=True):
    """Options of `recording`."""

    file: str = ""
    speed: Annotated[float, msgspec.Meta(ge=0.01, le=100.0)] = 1.0
    loop: bool = True
    smooth: bool = False
    start: Annotated[float, msgspec.Meta(ge=0.0, le=1e6)] = 0.0
    invert: str = ""  # controls with the wrong sign, separated by +
    neutral: str = ""  # median, or a time in seconds


class _Recorded:
    """A recording that was read once, with a player for each person."""

    def __init__(self, options: RecordingOptions) -> None:
        inverted = tuple(filter(None, options.invert.split("+")))
        try:
            check_names(inverted)
        except ControlError as error:
            raise DriverError(f'"recording:{options.file},invert={options.invert}": {error}') from error
        recording = read_recording(options.file, invert=inverted)
        self.warnings = recording.warnings
        self._recording = from_neutral(recording, options.neutral) if options.neutral else recording
        self._options = options

    def driver(self, idle: IdleSettings, person: int) -> RecordingDriver:  # noqa: ARG002  everybody does the same
        """See `Source`."""
        how = self._options
        return RecordingDriver(self._recording, speed=how.speed, loop=how.loop, smooth=how.smooth, start_s=how.start)

    def close(self) -> None:
        """See `Source`."""


KIND: Final = Kind(names=("recording",), options=RecordingOptions, open=_Recorded)
