"""How fast each installed engine plays a character, with how much processor time: a table, then one JSON line.

    python benchmarks/engines.py CHARACTER.bunraku [--frames 200] [--threads 1,2]

Engines take turns in short rounds, so that a busy minute of the machine hits all of them alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from engine_bridge.errors import BunrakuError
from runtime.character import Character, find_character
from runtime.engine import Engine
from runtime.engines import availability, choose_engine, usable_cores
from runtime.machine import describe

ROUND = 20


@dataclass
class Lane:
    """One engine with one number of threads, and what was measured of it."""

    engine: Engine
    wall_ms: list[float] = field(default_factory=list)
    processor_ms: float = 0.0

    def run(self, frames: int) -> None:
        """Draw frames with changing inputs."""
        about = self.engine.description
        random = np.random.Generator(np.random.Philox(len(self.wall_ms)))
        w = np.zeros((1, about.w_dim), np.float32)
        controls = np.zeros((1, about.num_controls), np.float32)
        out = np.empty((1, about.height, about.width, 4), np.uint8)
        spent = time.process_time()
        for _ in range(frames):
            controls[0] = random.uniform(0.0, 1.0, about.num_controls)
            begun = time.perf_counter()
            self.engine.infer(w, controls, out)
            self.wall_ms.append((time.perf_counter() - begun) * 1e3)
        self.processor_ms += (time.process_time() - spent) * 1e3

    def row(self) -> dict[str, object]:
        """The figures."""
        about = self.engine.description
        return {
            "engine": about.backend,
            "version": about.version,
            "precision": about.precision,
            "threads": about.threads,
            "p50_ms": round(float(np.percentile(self.wall_ms, 50)), 2),
            "p99_ms": round(float(np.percentile(self.wall_ms, 99)), 2),
            "processor_ms": round(self.processor_ms / len(self.wall_ms), 2),
        }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("character", nargs="?", default="aki")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--threads", default=",".join(str(count) for count in sorted({1, usable_cores()})))
    arguments = parser.parse_args()
    try:
        with ExitStack() as stack:
            character = stack.enter_context(Character.open(find_character(arguments.character)))
            precisions = ["fp32"] + (["int8"] if "generator.int8.onnx" in character else [])
            lanes = [
                Lane(stack.enter_context(choose_engine(name, character, precision=precision, threads=threads).engine))
                for name, reason in availability().items()
                if not reason
                for precision in precisions
                for threads in map(int, arguments.threads.split(","))
            ]
            for _ in range(max(1, arguments.frames // ROUND)):
                for lane in lanes:
                    lane.run(min(ROUND, arguments.frames))
            rows = [lane.row() for lane in lanes]
            frame = character.manifest.frame
    except BunrakuError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{'engine':<14}{'precision':<11}{'threads':>8}{'p50 ms':>9}{'p99 ms':>9}{'processor ms':>14}")
    for row in rows:
        print(
            f"{row['engine']:<14}{row['precision']:<11}{row['threads']:>8}{row['p50_ms']:>9}{row['p99_ms']:>9}"
            f"{row['processor_ms']:>14}"
        )
    size = f"{frame.width}x{frame.height}"
    print(json.dumps({"benchmark": "engines", "character": str(arguments.character), "size": size, "rows": rows}
                     | {"machine": describe()}))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
