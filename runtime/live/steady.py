"""A sustainable frame rate: fewer frames, evenly spaced, if the machine cannot draw all requested ones.

Fifty frames in some seconds and thirty-four in others look worse than thirty in every one. So when rounds take too
long for the requested rate, the loop drops to a rate that divides well, and returns when there is headroom
again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

RATES: Final = (40.0, 30.0, 24.0)  # below the requested rate
_LOOK_NS: Final = 1_000_000_000  # minimum time a decision is based on
_KEPT: Final = 240  # rounds
_LOST: Final = 0.02  # share of rounds that may lose frames before the rate is too high
_FULL: Final = 0.93  # of a period that rounds may take on average at a new rate
_PATIENCE_NS: Final = 4_000_000_000  # with headroom for a higher rate before it is tried
_MOST_PATIENCE_NS: Final = 64_000_000_000
_FAILED_NS: Final = 10_000_000_000  # a rate that failed within this time is retried later


class SteadyRate:
    """Finds a sustainable rate.

    Attributes:
        fps: target frames per second.
    """

    def __init__(self, full_fps: float) -> None:
        """Start with the requested rate.

        Args:
            full_fps: requested frames per second.
        """
        self._rates = (full_fps, *(rate for rate in RATES if rate < full_fps))
        self._level = 0
        self._took_ns: deque[int] = deque(maxlen=_KEPT)
        self._since_ns: int | None = None  # of the rounds in `_took_ns`
        self._room_since_ns: int | None = None
        self._raised_ns: int | None = None
        self._patience_ns = _PATIENCE_NS

    @property
    def fps(self) -> float:
        """Target frames per second."""
        return self._rates[self._level]

    @property
    def note(self) -> str:
        """Why the rate is lower than requested; empty if it is not."""
        if not self._level:
            return ""
        return f"{self.fps:g} frames per second: this machine cannot sustain {self._rates[0]:g} at the moment"

    def add(self, took_ns: int) -> None:
        """Count a round: its working time, without waiting."""
        self._took_ns.append(took_ns)

    def forget(self) -> None:
        """Restart counting after a pause; the rate stays."""
        self._took_ns.clear()
        self._since_ns = None
        self._room_since_ns = None

    def start_over(self) -> None:
        """Return to the requested rate: with another engine everything may be different."""
        self.forget()
        self._level, self._raised_ns, self._patience_ns = 0, None, _PATIENCE_NS

    def decide(self, now_ns: int) -> bool:
        """Evaluate the last rounds; call it twice a second.

        Returns:
            whether `fps` has changed.
        """
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns < _LOOK_NS or len(self._took_ns) < 8:
            return False
        if self._level + 1 < len(self._rates) and lost(self._took_ns, self._period_ns(self._level)) > _LOST:
            return self._go_down(now_ns)
        return self._go_up(now_ns)

    def _has_room(self, level: int) -> bool:
        """Whether the counted rounds would have fitted this rate."""
        period = self._period_ns(level)
        average = sum(self._took_ns) / len(self._took_ns)
        return average <= _FULL * period and lost(self._took_ns, period) <= _LOST / 4

    def _go_down(self, now_ns: int) -> bool:
        self._level += 1
        while self._level + 1 < len(self._rates) and not self._has_room(self._level):
            self._level += 1
        if self._raised_ns is not None and now_ns - self._raised_ns < _FAILED_NS:
            self._patience_ns = min(2 * self._patience_ns, _MOST_PATIENCE_NS)
        else:
            self._patience_ns = _PATIENCE_NS
        self.forget()
        return True

    def _go_up(self, now_ns: int) -> bool:
        if not self._level or not self._has_room(self._level - 1):
            self._room_since_ns = None
            return False
        if self._room_since_ns is None:
            self._room_since_ns = now_ns
        if now_ns - self._room_since_ns < self._patience_ns:
            return False
        self._level -= 1
        self._raised_ns = now_ns
        self.forget()
        return True

    def _period_ns(self, level: int) -> float:
        return 1e9 / self._rates[level]


def lost(took_ns: Iterable[int], period_ns: float) -> float:
    """Share of rounds after which a frame would have been lost if they were one period apart.

    A round that is late by less than a period still happens, and the next may catch up (see `pacing`). One hiccup,
    however long, is one round.
    """
    late, losing, rounds = 0.0, 0, 0
    for took in took_ns:
        rounds += 1
        late = max(0.0, late + took - period_ns)
        losing += late >= period_ns
        late %= period_ns
    return losing / max(rounds, 1)
