"""The one clock of the bridge, in nanoseconds.

All timestamps are `time.perf_counter_ns`, which all processes of a host share, so ages need no synchronisation. It is
`time.monotonic_ns` except on Windows, where that moves in steps of 15 ms before Python 3.13. A client on
another host compares Unix time instead, using the offset in the producer's heartbeats.
"""

from __future__ import annotations

import time
from typing import Final

_SAME_CLOCK_NS: Final = 1_000_000_000  # two hosts do not start within one second of each other


def now_ns() -> int:
    """Monotonic time of this host in nanoseconds."""
    return time.perf_counter_ns()


def unix_offset_ns() -> int:
    """Offset from this host's monotonic time to Unix time."""
    return time.time_ns() - time.perf_counter_ns()


def age_ns(stamp_ns: int, *, now_ns: int, producer_offset_ns: int | None, own_offset_ns: int) -> int:
    """Age of a producer's timestamp.

    Args:
        stamp_ns: the producer's monotonic time.
        now_ns: this host's monotonic time.
        producer_offset_ns: the producer's monotonic-to-Unix offset, None if not announced.
        own_offset_ns: this host's offset. If the two agree, both sides read the same clock, and the monotonic times
            are compared directly; otherwise the Unix times are, as far as the two hosts' clocks agree.
    """
    if producer_offset_ns is None or abs(producer_offset_ns - own_offset_ns) < _SAME_CLOCK_NS:
        return now_ns - stamp_ns
    return (now_ns + own_offset_ns) - (stamp_ns + producer_offset_ns)
