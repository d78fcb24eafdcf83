"""Does a change of engines show? A subscriber counts and times every frame around it: a table, then one JSON line.

    python benchmarks/swap.py [CHARACTER.bunraku] [--from onnxruntime] [--to openvino] [--seconds 6]

The loop plays at 60 fps on one engine while the other is loaded beside it, as when a GPU's engine becomes ready. No
number may be missing and no frame may be older than two periods when it arrives.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from engine_bridge.client.subscriber import Subscriber
from engine_bridge.clock import now_ns
from engine_bridge.errors import BunrakuError
from runtime.character.file import Character
from runtime.character.shipped import find_character
from runtime.drivers.table import open_drivers
from runtime.engines.choice import candidates, open_engine
from runtime.engines.factory import Candidate, EngineSettings
from runtime.engines.upgrade import EngineUpgrade
from runtime.live.loop import Act, LiveLoop
from runtime.live.performer import Performer
from runtime.live.settings import LiveSettings
from runtime.machine import describe

FPS = 60.0


def measure(path: Path, first: str, then: Candidate, seconds: float) -> list[tuple[int, str, int, int]]:
    """(number, provider, arrival, age) of every frame that a subscriber takes, times in nanoseconds."""
    settings, begin = EngineSettings(), threading.Event()
    with Character.open(path) as character:
        choice = open_engine(first, character, precision="fp32", settings=settings)
    performer = Performer(choice.role, choice.engine, open_drivers([], choice.role.idle), session=1)
    live = LiveSettings(fps=FPS, publish="tcp://127.0.0.1:0")
    seen: list[tuple[int, str, int, int]] = []
    with (
        choice,
        EngineUpgrade(path, [then], settings, begin=begin) as upgrade,
        LiveLoop([Act([performer], upgrade)], live, window=False) as loop,
    ):
        assert loop.publisher is not None
        thread = threading.Thread(target=loop.run, daemon=True)
        thread.start()
        with Subscriber(loop.publisher.endpoint) as subscriber:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends and not loop.ended:
                if time.monotonic() > ends - seconds * 0.6:
                    begin.set()
                frame = subscriber.wait(0.1)
                if frame is not None:
                    arrived = now_ns()
                    seen.append((frame.frame_id, frame.provider, arrived, arrived - frame.capture_ns))
        loop.stop()
        thread.join()
        if loop.error is not None:
            raise loop.error
    return seen


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("character", nargs="?", default="aki")
    parser.add_argument("--from", dest="first", default="onnxruntime")
    parser.add_argument("--to", dest="then", default="openvino")
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    try:
        path = find_character(arguments.character)
        with Character.open(path) as character:
            then = candidates(arguments.then, character)[0][0]
        seen = measure(path, arguments.first, then, arguments.seconds)
    except BunrakuError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    numbers, arrivals = np.array([row[0] for row in seen]), np.array([row[2] for row in seen])
    providers = [row[1] for row in seen]
    if len(set(providers)) < 2:
        print(
            f"Error: the change did not happen within {arguments.seconds:g} s; give it more --seconds.", file=sys.stderr
        )
        return 1
    change = next(index for index, name in enumerate(providers) if name != providers[0])
    loading = arrivals > arrivals[0] + arguments.seconds * 0.4e9
    rows = []
    for name, chosen in (
        ("before", ~loading),
        ("while loading", loading & (np.arange(len(seen)) < change)),
        ("after", np.arange(len(seen)) >= change),
    ):
        ages = np.array([row[3] for row in seen])[chosen] / 1e6
        gaps = np.diff(arrivals, prepend=arrivals[0])[chosen] / 1e6
        missing = int((np.diff(numbers, prepend=numbers[0] - 1)[chosen] - 1).sum())
        rows.append(
            {
                "when": name,
                "frames": int(chosen.sum()),
                "missing": missing,
                "age_ms_p50": round(float(np.median(ages)), 2),
                "age_ms_max": round(float(ages.max()), 2),
                "interval_ms_max": round(float(gaps.max()), 2),
            }
        )
    print(f"{providers[0]} -> {providers[-1]}, a period is {1000 / FPS:.1f} ms")
    print(f"{'':<15}{'frames':>8}{'missing':>9}{'age p50':>9}{'age max':>9}{'longest interval':>18}")
    for row in rows:
        print(
            f"{row['when']:<15}{row['frames']:>8}{row['missing']:>9}{row['age_ms_p50']:>9}{row['age_ms_max']:>9}"
            f"{row['interval_ms_max']:>18}"
        )
    print(
        json.dumps(
            {"benchmark": "swap", "from": providers[0], "to": providers[-1], "rows": rows, "machine": describe()}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
