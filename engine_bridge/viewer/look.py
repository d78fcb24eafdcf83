"""Turns the position of the pointer into the character's gaze."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine_bridge.avf.messages import ControlSpec


@dataclass(frozen=True, slots=True)
class _Follower:
    """How one control follows the pointer.

    Attributes:
        name: of the control.
        axis: 0 follows the pointer to the right, 1 follows it upwards.
        gain: share of the control's range at the edge of the picture.
        delay_s: time constant of the smoothing; the eyes arrive first.
    """

    name: str
    axis: int
    gain: float
    delay_s: float


_FOLLOWERS: Final = (
    _Follower("gazeYaw", 0, 0.9, 0.04),
    _Follower("gazePitch", 1, 0.9, 0.04),
    _Follower("headYaw", 0, 0.7, 0.14),
    _Follower("headPitch", 1, 0.7, 0.14),
    _Follower("bodyYaw", 0, 0.35, 0.3),
)
_SETTLED: Final = 0.002  # share of a control's range below which it counts as arrived


class LookAt:
    """Turns eyes, head and a little of the body towards a point.

    Args:
        controls: of the stream; missing ones are ignored.
    """

    def __init__(self, controls: Iterable[ControlSpec]) -> None:
        specs = {spec.name: spec for spec in controls}
        self._followers = [(follower, specs[follower.name]) for follower in _FOLLOWERS if follower.name in specs]
        self._target: tuple[float, float] | None = None
        self._values: dict[str, float] = {}

    @property
    def active(self) -> bool:
        """Whether the pointer leads at the moment."""
        return self._target is not None

    def aim(self, right: float, up: float) -> None:
        """Look at a point.

        Args:
            right: from -1, the left edge of the picture, to 1, the right edge, as the viewer sees it. The character
                faces the viewer, so the viewer's right is the character's left, which is positive yaw.
            up: from -1, the bottom, to 1, the top.
        """
        self._target = (max(-1.0, min(1.0, right)), max(-1.0, min(1.0, up)))

    def release(self) -> None:
        """Stop leading; the controls return to the other drivers, which ease them back into place."""
        self._target = None
        self._values = {}

    def step(self, elapsed_s: float) -> dict[str, float]:
        """Advance in time.

        Args:
            elapsed_s: since the last call.

        Returns:
            The controls that the pointer leads, in natural units; empty when it does not lead.
        """
        if self._target is None:
            return {}
        values: dict[str, float] = {}
        for follower, spec in self._followers:
            share = self._target[follower.axis] * follower.gain
            goal = spec.rest + (share * (spec.maximum - spec.rest) if share > 0 else share * (spec.rest - spec.minimum))
            value = self._values.get(follower.name, spec.rest)
            value += (goal - value) * (1.0 - math.exp(-elapsed_s / follower.delay_s))
            values[follower.name] = goal if abs(goal - value) < _SETTLED * (spec.maximum - spec.minimum) else value
        self._values = values
        return values
