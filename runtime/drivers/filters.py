"""Smoothing for live trackers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OneEuroSettings:
    """Trade-off between smoothness at rest and lag in motion.

    Attributes:
        minimum_cutoff_hz: lower is smoother at rest.
        beta: higher follows fast motion more closely; it multiplies speed in units per second.
        derivative_cutoff_hz: smoothing of the speed itself.
    """

    minimum_cutoff_hz: float = 1.5
    beta: float = 0.8
    derivative_cutoff_hz: float = 1.0


class OneEuroFilter:
    """The 1 euro filter over a vector: a low-pass whose cutoff rises with speed.

    Casiez, Roussel, Vogel: "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
    CHI 2012.
    """

    def __init__(self, size: int, settings: OneEuroSettings, *, scale: Values | None = None) -> None:
        """Create a filter for `size` values.

        Args:
            size: number of values.
            settings: the trade-off.
            scale: float32 [size], the range of each value, so that degrees and 0..1 weights get the same treatment.
        """
        self._settings = settings
        self._scale = np.ones(size, np.float32) if scale is None else scale
        self._value = np.zeros(size, np.float32)
        self._speed = np.zeros(size, np.float32)
        self._last_ns: int | None = None

    def reset(self) -> None:
        """Forget the past; the next value passes unchanged."""
        self._last_ns = None

    def step(self, values: Values, now_ns: int) -> Values:
        """Smooth one more sample; float32 [size], owned by the filter and overwritten on the next call."""
        if self._last_ns is None or now_ns - self._last_ns > 1_000_000_000:
            self._last_ns = now_ns
            np.copyto(self._value, values)
            self._speed.fill(0.0)
            return self._value
        dt = (now_ns - self._last_ns) / 1e9
        if dt <= 0.0:
            return self._value
        self._last_ns = now_ns
        settings = self._settings
        speed = (values - self._value) / dt
        self._speed += np.float32(_alpha(settings.derivative_cutoff_hz, dt)) * (speed - self._speed)
        cutoff = settings.minimum_cutoff_hz + settings.beta * np.abs(self._speed) / self._scale
        rate = (2.0 * math.pi * dt) * cutoff
        self._value += (rate / (1.0 + rate)) * (values - self._value)
        return self._value


def _alpha(cutoff_hz: float, dt: float) -> float:
    rate = 2.0 * math.pi * cutoff_hz * dt
    return rate / (1.0 + rate)
