"""The one clock of the bridge. Knows nanoseconds.

All stamps are `time.perf_counter_ns`, which all processes of one host share, so that ages need no agreement. It is
`time.monotonic_ns` everywhere but on Windows, where that moves in steps of 15 ms before Python 3.13. A client on
another host compares Unix time instead, with the offset that the producer tells in its heartbeats.
"""

from __future__ import annotations

import time
from typing import Final

_SAME_CLOCK_NS: Final = 1_000_000_000  # two hosts that started within one second of each other do not happen


def now_ns() -> int:
    """Monotonic time of this host in nanoseconds."""
    return time.perf_counter_ns()


def unix_offset_ns() -> int:
    """What to add to this host's monotonic time to get Unix time."""
    return time.time_ns() - time.perf_counter_ns()


def age_ns(stamp_ns: int, *, now_ns: int, producer_offset_ns: int | None, own_offset_ns: int) -> int:
    """How long ago a producer's stamp was.

    Args:
        stamp_ns: the producer's monotonic time.
        now_ns: this host's monotonic time.
        producer_offset_ns: the producer's monotonic-to-Unix offset, None if it tells none.
        own_offset_ns: this host's offset. If the two agree, both sides read the same clock, and the monotonic times
            are compared directly; otherwise the Unix times are, as far as the two hosts' clocks agree.
    """
    if producer_offset_ns is None or abs(producer_offset_ns - own_offset_ns) < _SAME_CLOCK_NS:
        return now_ns - stamp_ns
    return (now_ns + own_offset_ns) - (stamp_ns + producer_offset_ns)
