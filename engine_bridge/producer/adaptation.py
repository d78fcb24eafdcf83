"""How many frames to render, and at what JPEG quality, from client reports. Pure: time is an argument.

**Frames.** Every client may state how many frames per second it needs. The loop renders at the highest of these
rates, never below 1 per second or above its own; one client that states none, or one subscriber without a
control channel to state it on, gets the full rate for all.

**Quality.** Clients report once per second how old frames are when taken. A network that cannot carry the
stream queues it, and the ages rise. The measure is the median over the clients of how far each is above the lowest
age that it ever reported, so that hosts whose clocks disagree count no worse than others.

- Above 60 ms for 2 s: one step down the ladder 95, 85, 70, 50.
- Below 30 ms for 10 s: one step up. Between the two nothing is counted; after a step both counts restart.
- A step up that is undone within 10 s doubles the wait before the next one, up to 160 s; one that holds
  resets it to 10 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, Final

QUALITIES: Final = (95, 85, 70, 50)  # of JPEG, from the best to the smallest
LEAST_FPS: Final = 1.0
TOO_OLD_MS: Final = 60.0
YOUNG_MS: Final = 30.0
DOWN_AFTER_NS: Final = 2_000_000_000
UP_AFTER_NS: Final = 10_000_000_000
LONGEST_UP_AFTER_NS: Final = 160_000_000_000


def fps_to_draw(full_fps: float, wanted: Iterable[float], subscribers: int) -> float:
    """The rate that satisfies every client.

    Args:
        full_fps: of the loop when no client wants less.
        wanted: frames per second that each present client needs; 0 for one that states none.
        subscribers: clients that receive frames; any beyond the known clients cannot state a rate.
    """
    rates = list(wanted)
    if not rates or min(rates) <= 0.0 or subscribers > len(rates):
        return full_fps
    return min(full_fps, max(LEAST_FPS, *rates))


class QualityLadder:
    """The JPEG quality to use.

    Attributes:
        quality: one of `QUALITIES`.
    """

    def __init__(self, quality: int = 85) -> None:
        """Choose the first step.

        Args:
            quality: initial value; rounded down to the next step, or to the lowest.
        """
        self.quality = next((step for step in QUALITIES if step <= quality), QUALITIES[-1])
        self._youngest_ms: dict[Any, float] = {}
        self._old_since_ns: int | None = None
        self._young_since_ns: int | None = None
        self._up_after_ns = UP_AFTER_NS
        self._went_up_ns: int | None = None

    def step(self, ages_ms: Mapping[Any, float], now_ns: int) -> int:
        """Apply the present clients' reports; call it once a second or more often.

        Args:
            ages_ms: median age of the frames recently taken, by client.
            now_ns: monotonic time.

        Returns:
            the quality from now on.
        """
        self._youngest_ms = {who: min(age, self._youngest_ms.get(who, age)) for who, age in ages_ms.items()}
        excess_ms = median(age - self._youngest_ms[who] for who, age in ages_ms.items()) if ages_ms else YOUNG_MS
        self._old_since_ns = _since(self._old_since_ns, excess_ms > TOO_OLD_MS, now_ns)
        self._young_since_ns = _since(self._young_since_ns, excess_ms < YOUNG_MS, now_ns)
        if self._went_up_ns is not None and now_ns - self._went_up_ns > UP_AFTER_NS:
            self._went_up_ns, self._up_after_ns = None, UP_AFTER_NS
        if self._old_since_ns is not None and now_ns - self._old_since_ns >= DOWN_AFTER_NS:
            if self._went_up_ns is not None:
                self._went_up_ns, self._up_after_ns = None, min(2 * self._up_after_ns, LONGEST_UP_AFTER_NS)
            self._move(+1)
        elif self._young_since_ns is not None and now_ns - self._young_since_ns >= self._up_after_ns:
            self._went_up_ns = now_ns if self._move(-1) else None
        return self.quality

    def _move(self, steps: int) -> bool:
        self._old_since_ns = self._young_since_ns = None
        here = QUALITIES.index(self.quality)
        self.quality = QUALITIES[min(max(here + steps, 0), len(QUALITIES) - 1)]
        return self.quality != QUALITIES[here]


def _since(before_ns: int | None, holds: bool, now_ns: int) -> int | None:
    """Since when a condition holds, None if it does not."""
    if not holds:
        return None
    return now_ns if before_ns is None else before_ns
