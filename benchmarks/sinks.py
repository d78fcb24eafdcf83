"""Cost of preparing a picture for a sink, relative to copying it.

    python benchmarks/sinks.py                    # 256, 512 and 1024 pixels a side
    python benchmarks/sinks.py --sizes 512 --rounds 300

All methods take turns, so that a busy moment of the machine affects all alike. Prints medians in milliseconds and, in
brackets, the number of plain copies of the RGBA picture in that time; then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable

import numpy as np

from engine_bridge import side_by_side
from engine_bridge.frame import Pixels
from runtime.sinks.films import RgbLayout
from runtime.sinks.worker import NewestWorker


class Nowhere:
    """A sink that discards its pictures."""

    label = "nowhere"

    def send(self, pixels: Pixels) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing to free."""


def main() -> None:
    """Measure every size and print the results."""
    parser = argparse.ArgumentParser(description="Measure what sinks cost.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="pixels a side")
    parser.add_argument("--rounds", type=int, default=200, help="times that each way is measured (default: 200)")
    arguments = parser.parse_args()
    rows = [measure(side, arguments.rounds) for side in arguments.sizes]
    machine = {"platform": platform.platform(), "python": platform.python_version(), "numpy": np.__version__}
    print(json.dumps({"benchmark": "sinks", "rows": rows, **machine}))


def measure(side: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of every method, for square pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    copy, packed, back = np.empty_like(pixels), np.empty((side, 2 * side, 3), np.uint8), np.empty_like(pixels)
    flat = RgbLayout(side, side, "flat", (32, 36, 40))
    worker = NewestWorker("nowhere", Nowhere, width=side, height=side)
    ways: dict[str, Callable[[], object]] = {
        "copy": lambda: np.copyto(copy, pixels),
        "offer": lambda: worker.offer(pixels),
        "pack": lambda: side_by_side.pack(pixels, packed),
        "unpack": lambda: side_by_side.unpack(packed, back),
        "flat": lambda: flat(pixels),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - began)
    worker.close()
    medians = {name: 1000 * float(np.median(times)) for name, times in took.items()}
    cells = [f"{name} {value:.3f} ({value / medians['copy']:.1f})" for name, value in medians.items()]
    print(f"{side:>5}  " + "  ".join(cells), flush=True)
    return {"side_px": side, **{f"{name}_ms": round(value, 4) for name, value in medians.items()}}


if __name__ == "__main__":
    main()
