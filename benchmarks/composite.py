"""Cost of each part of a frame of a moving character: prints a table, then one JSON line.

    python benchmarks/composite.py [CHARACTER.bunraku] [--frames 300]

The composite does not depend on the engine; the motion is ONNX Runtime's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine_bridge.errors import BunrakuError
from runtime.character.file import Character
from runtime.character.person import small
from runtime.character.shipped import find_character
from runtime.composite import open_composite
from runtime.engines import onnxruntime
from runtime.machine import describe


def timed(work: Callable[[], Any], times: int) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds, after five warm-up calls."""
    taken = []
    for _ in range(times + 5):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1e3)
    p50, p99 = np.percentile(taken[5:], [50, 99])
    return round(float(p50), 2), round(float(p99), 2)


def measure(name: str, frames: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of every part, by name and number of threads."""
    with Character.open(find_character(name)) as character:
        if not character.moves:
            raise BunrakuError(f"{name} does not move people; give a character of format 2.")
        person = character.people[0]
        reader, animator = character.read("reader.onnx"), character.read("animator.onnx")
        rest = np.array([[control.rest for control in character.controls]], np.float32)
    references = person.read()
    read = onnxruntime.open_graph(reader, 1, "shared")
    out = np.empty((person.side, person.side, 4), np.uint8)
    told = {
        "decode a person": timed(person.read, 10),
        "read a person, 1 thread": timed(lambda: read.run({"references": small(references)}), 10),
    }
    inputs = {**read.run({"references": small(references)}), "controls": rest}
    for threads in (1, 2):
        move = onnxruntime.open_graph(animator, threads, "shared")
        told[f"motion, {threads} thread(s)"] = timed(lambda move=move: move.run(inputs), frames)  # type: ignore[misc]
        motion = move.run(inputs)
        flow, planes = motion["flow"][0], motion["planes"][0]
        composite = open_composite(threads)
        draw = (references, flow, planes, out)
        told[f"composite ({composite.name}), {threads} thread(s)"] = timed(
            lambda composite=composite, draw=draw: composite.draw(*draw),  # type: ignore[misc]
            frames,
        )
        composite.close()
    return told


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("character", nargs="?", default="aki")
    parser.add_argument("--frames", type=int, default=300)
    arguments = parser.parse_args()
    try:
        told = measure(arguments.character, arguments.frames)
    except BunrakuError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{'part':>32} {'p50 ms':>8} {'p99 ms':>8}")
    for part, (p50, p99) in told.items():
        print(f"{part:>32} {p50:8.2f} {p99:8.2f}")
    print(json.dumps({"benchmark": "composite", **describe(), "ms": told}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
