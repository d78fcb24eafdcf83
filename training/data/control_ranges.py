"""Ranges of controls, and their validation."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from runtime.character.controls import VOCABULARY
from runtime.drivers.live_link_face import plain_name
from training.errors import DatasetError

_PLAIN_NAMES = {plain_name(name): name for name in VOCABULARY}


class ControlRange(msgspec.Struct, frozen=True):
    """One control in `dataset.json`."""

    name: str
    minimum: float
    maximum: float
    rest: float


def check_ranges(controls: Sequence[ControlRange], where: str) -> None:
    """Reject impossible controls.

    Args:
        controls: of a data set.
        where: the file, for the message.

    Raises:
        DatasetError: there are none, a name is unknown or duplicated, or a range is impossible.
    """
    if not controls:
        raise DatasetError(
            f"{where}: there are no controls, so nothing would move. docs/controls.md lists their names."
        )
    seen: set[str] = set()
    for control in controls:
        name = control.name
        if name not in VOCABULARY:
            raise DatasetError(f'{where}: there is no control "{name[:80]}". {_hint(name)}')
        if name in seen:
            raise DatasetError(f"{where}: the control {name} appears twice. Remove one of them.")
        seen.add(name)
        low, high, rest = control.minimum, control.maximum, control.rest
        if not all(map(math.isfinite, (low, high, rest))):
            raise DatasetError(
                f"{where}: {name} has the range {low:g} to {high:g}, rest {rest:g}. Give finite numbers."
            )
        if low >= high:
            raise DatasetError(f"{where}: {name} has minimum {low:g} and maximum {high:g}. Give a minimum below it.")
        if not low <= rest <= high:
            raise DatasetError(
                f"{where}: {name} rests at {rest:g}, outside its range {low:g} to {high:g}. Give a `rest` inside it."
            )
        known = VOCABULARY[name]
        if known.maximum <= 1.0 and high - low > 2.0:
            raise DatasetError(
                f"{where}: {name} has the range {low:g} to {high:g}, but drivers move it from {known.minimum:g} to "
                f"{known.maximum:g}. Convert it with `scale` (0.01 for percent)."
            )
        if max(-low, high) > 360.0:
            raise DatasetError(
                f"{where}: {name} has the range {low:g} to {high:g}, but it is an angle in degrees. Give degrees."
            )


def sweep_controls(ranges: Sequence[tuple[float, float, float]], steps: int) -> npt.NDArray[np.float32]:
    """Every control from its minimum to its maximum, the others at rest: [c * steps, c].

    Args:
        ranges: (minimum, maximum, rest) of each.
        steps: per control.
    """
    rest = np.array([r[2] for r in ranges], np.float32)
    rows = []
    for index, (low, high, _) in enumerate(ranges):
        for value in np.linspace(low, high, steps):
            row = rest.copy()
            row[index] = value
            rows.append(row)
    return np.stack(rows)


def _hint(name: str) -> str:
    return did_you_mean(name, VOCABULARY, _PLAIN_NAMES.get(plain_name(name))) or "docs/controls.md lists all of them."


def did_you_mean(name: str, known: Iterable[str], sure: str | None = None) -> str:
    """A question suggesting the nearest known name, or an empty string."""
    near = [sure] if sure else difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f'Did you mean "{near[0]}"?' if near else ""
