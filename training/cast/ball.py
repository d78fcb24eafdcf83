"""The ball of the hair, and where its surface appears in the picture.

The head of hair is an ellipsoid. Its outline in the picture is exact for every turn of the head, and hair turning
to the back slides along that outline instead of folding over; this keeps every layer free of jumps.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from .canvas import FloatArray, lerp
from .pose import Frame


class Ball:
    """The ellipsoid of the hair as seen in the picture."""

    def __init__(self, frame: Frame, volume: float) -> None:
        self.frame = frame
        radii = RADII * volume
        self.centre = frame.place(CENTRE[None])[0]
        turn = frame.turn * radii
        # The outline of an ellipsoid under parallel projection is the ellipse with this matrix.
        self.shape = (turn @ turn.T)[:2, :2]
        values, vectors = np.linalg.eigh(self.shape)
        self.root = (vectors * np.sqrt(values)) @ vectors.T
        self.unroot = (vectors / np.sqrt(values)) @ vectors.T
        self.roll = math.atan2(-frame.turn[0, 1], frame.turn[1, 1])

    def onto(self, placed: FloatArray) -> FloatArray:
        """Turned points [n, 3]; those on the far side are moved out to the outline."""
        away = placed - self.centre
        n = away[:, :2] @ self.unroot.T
        reach = np.sqrt((n * n).sum(axis=1)) + 1e-9
        behind = np.clip(0.5 - away[:, 2] / 0.3, 0.0, 1.0)
        behind = behind * behind * (3 - 2 * behind)
        grown = reach + (np.maximum(reach, 1.0) - reach) * behind
        out: FloatArray = placed.copy()
        out[:, :2] = self.centre[:2] + (n * (grown / reach)[:, None]) @ self.root.T
        out[:, 2] = np.maximum(placed[:, 2], self.centre[2])
        return out

    def ring(self, nodes: list[tuple[float, float, float]], lag: float = 0.0) -> list[list[float]]:
        """Points around the outline: (degrees, radius in outlines, share of the sway); 0 is right, 90 down, -90 up."""
        data = np.array(nodes)
        angle = np.radians(data[:, 0]) + self.roll
        unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        spots = np.zeros((len(data), 3))
        spots[:, :2] = self.centre[:2] + (unit * data[:, 1:2]) @ self.root.T
        turn = self.frame.turn[0, 2]
        spots[:, 0] += data[:, 2] * (0.16 * lag - 0.16 * turn)
        spots[:, 2] = self.centre[2]
        out: list[list[float]] = self.frame.flat(spots).tolist()
        return out

    def over(self, right_end: FloatArray, left_end: FloatArray) -> list[list[float]]:
        """The outline from beside one pixel position over the top of the head to beside another."""
        a, b = self._angle(right_end), self._angle(left_end)
        a = (a + 270) % 360 - 270 if a > 90 else a
        b = b - 360 if b > 0 else b
        return self.ring([(lerp(a, b, i / 9), 1.0, 0.0) for i in range(10)])

    def _angle(self, pixel: FloatArray) -> float:
        grow = self.frame.unit / (1.0 - self.centre[2] * 0.06)
        away = (pixel - self.frame.centre) / grow - self.centre[:2]
        n = self.unroot @ away
        angle = math.degrees(math.atan2(n[1], n[0]) - self.roll)
        return (angle + 180) % 360 - 180


CENTRE: Final = np.array([0.0, -0.12, -0.06])
RADII: Final = np.array([1.08, 1.09, 0.96])


def on_ball(azimuth: float, y: float, lift: float = 0.0) -> tuple[float, float, float]:
    """A point of the hair's surface; below its equator hair hangs straight down."""
    up = (y - CENTRE[1]) / RADII[1]
    r = math.sqrt(max(0.0, 1.0 - up * up)) if up < 0 else 1.0
    a = math.radians(azimuth)
    return ((RADII[0] + lift) * r * math.sin(a), y, CENTRE[2] + (RADII[2] + lift) * r * math.cos(a))
