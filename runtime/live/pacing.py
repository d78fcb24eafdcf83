"""Frame pacing: when the next frame is due.

Deadlines are absolute: frame k is due at start + k x period, so errors never add up. A late frame is skipped and
counted; nothing is caught up, because a burst of old frames would only delay the newest one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine_bridge.clock import now_ns

# Time before a deadline at which sleeping ends and polling the clock begins. Sleeps on Linux and macOS overshoot by
# some 60 us; Windows timers are coarser.
_SPIN_NS: Final = 150_000


class FramePacer:
    """Waits for deadlines.

    Attributes:
        period_ns: time between two deadlines.
        dropped: deadlines that passed unserved.
    """

    def __init__(
        self,
        target_fps: float,
        *,
        clock: Callable[[], int] = now_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.period_ns = _period_ns(target_fps)
        self.dropped = 0
        self._clock = clock
        self._sleep = sleep
        self._due_ns: int | None = None

    def wait(self) -> int:
        """Wait for the next deadline and return it, in the clock's nanoseconds.

        The first call returns at once. If the deadline has passed by more than a period, the deadlines up to now are
        dropped and counted, and the next one on the grid is awaited. A frame that is late by less than a period is
        still made, at once.
        """
        now = self._clock()
        if self._due_ns is None:
            self._due_ns = now
            return now
        self._due_ns += self.period_ns
        late = now - self._due_ns
        if late >= self.period_ns:
            missed = late // self.period_ns
            self.dropped += missed
            self._due_ns += missed * self.period_ns
        while (left := self._due_ns - self._clock()) > 0:
            if left > _SPIN_NS:
                self._sleep((left - _SPIN_NS) / 1e9)
        return self._due_ns

    def aim(self, target_fps: float) -> None:
        """Change the period, from the last deadline on; does nothing if it is the same.

        Raises:
            ValueError: the rate lies outside 0.1 to 1000.
        """
        self.period_ns = _period_ns(target_fps)

    def restart(self) -> None:
        """Start a new grid at the next `wait`, after a pause without demand."""
        self._due_ns = None


def _period_ns(target_fps: float) -> int:
    if not 0.1 <= target_fps <= 1000.0:
        raise ValueError(f"target_fps must lie in 0.1..1000, not {target_fps}")
    return round(1e9 / target_fps)
