"""Effect of floods on a producer and an honest subscriber: frames per second, memory, descriptors.

    python benchmarks/floods.py                   # every flood for 4 s, about three minutes
    python benchmarks/floods.py --seconds 10 --only pings hellos

`bunraku live` with the synthetic engine at 60 fps, a Python subscriber in this process, and one hostile process at a
time; tests/floods.py describes each. Prints a table, then one JSON line. Frames per second as they arrive,
mebibytes resident, open descriptors of the producer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

import psutil
import zmq

from engine_bridge import Subscriber
from tests.bunraku_program import ANYWHERE, CARD, playing
from tests.floods import FLOODS, survey


def main() -> None:
    """Try every flood and print the results."""
    parser = argparse.ArgumentParser(description="Flood a producer.")
    parser.add_argument("--seconds", type=float, default=4.0, help="before, during and after each flood (default: 4)")
    parser.add_argument("--only", nargs="+", choices=list(FLOODS), default=list(FLOODS), help="floods to try")
    arguments = parser.parse_args()
    rows = []
    print(f"{'flood':>28} {'fps: before':>12} {'during':>7} {'after':>6} {'MB':>5} {'most':>5} {'after':>6}", end="")
    print(f" {'descriptors':>12} {'most':>5} {'after':>6}  limits broken")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            with (
                playing(*CARD, *ANYWHERE, cwd=Path(folder)) as (process, frames, control),
                Subscriber(frames) as subscriber,
            ):
                subscriber.wait(60.0)
                producer = psutil.Process(process.pid)
                row = survey(name, producer, subscriber, frames, control, seconds=arguments.seconds)
            rows.append(row)
            print(
                f"{name:>28} {row['fps_before']:>12} {row['fps_during']:>7} {row['fps_after']:>6}"
                f" {row['mb_before']:>5} {row['mb_most']:>5} {row['mb_after']:>6}"
                f" {row['descriptors_before']:>12} {row['descriptors_most']:>5} {row['descriptors_after']:>6}"
                f"  {row['over_limits']}",
                flush=True,
            )
    print(
        json.dumps(
            {
                "cores": os.cpu_count(),
                "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
                "platform": platform.platform(),
                "python": platform.python_version(),
                "libzmq": zmq.zmq_version(),
                "seconds": arguments.seconds,
                "floods": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
