"""Does a change of person cost a frame? A subscriber counts frames while people change: a table, then one JSON line.

    python benchmarks/people.py [CHARACTER.bunraku] [--every 1.1] [--changes 18]

The loop plays at 60 fps; the identity changes to one named person after another, and, if the character draws people
from seeds, to one seed after another, each read (and drawn) beside the loop. No number may be missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from engine_bridge.avf.messages import ControlState
from engine_bridge.client.control_client import ControlClient
from engine_bridge.client.subscriber import Subscriber
from engine_bridge.clock import now_ns
from engine_bridge.errors import BunrakuError
from runtime.character.file import Character
from runtime.character.shipped import find_character
from runtime.drivers.table import open_drivers
from runtime.engines.choice import open_engine
from runtime.engines.factory import EngineSettings
from runtime.live.loop import Act, LiveLoop
from runtime.live.performer import Performer
from runtime.live.settings import LiveSettings
from runtime.machine import describe

FPS = 60.0


def measure(path: Path, people: list[str | int], every: float) -> list[tuple[int, int]]:
    """(number, arrival in nanoseconds) of every frame that a subscriber takes while these people follow one another."""
    with Character.open(path) as character:
        choice = open_engine("auto", character, settings=EngineSettings())
    performer = Performer(choice.role, choice.engine, open_drivers(["wire", "idle"], choice.role.idle), session=1)
    live = LiveSettings(fps=FPS, publish="tcp://127.0.0.1:0", control="tcp://127.0.0.1:0")
    seen: list[tuple[int, int]] = []
    with choice, LiveLoop([Act([performer])], live, window=False) as loop:
        assert loop.publisher is not None
        assert loop.control_server is not None
        thread = threading.Thread(target=loop.run, daemon=True)
        thread.start()
        with Subscriber(loop.publisher.endpoint) as subscriber, ControlClient(loop.control_server.endpoint) as client:
            subscriber.wait(10)
            time.sleep(2)  # libraries warm up
            due, waiting = time.monotonic(), list(people)
            while (waiting or time.monotonic() < due) and not loop.ended:
                if waiting and time.monotonic() >= due:
                    client.send(ControlState(identity=waiting.pop(0)))
                    due += every
                frame = subscriber.wait(0.1)
                if frame is not None:
                    seen.append((frame.frame_id, now_ns()))
        loop.stop()
        thread.join()
        if loop.error is not None:
            raise loop.error
    return seen


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("character", nargs="?", default="aki")
    parser.add_argument("--every", type=float, default=1.1, help="seconds between two changes (default: 1.1)")
    parser.add_argument("--changes", type=int, default=18, help="maximum of each kind (default: 18)")
    arguments = parser.parse_args()
    rows = []
    try:
        path = find_character(arguments.character)
        with Character.open(path) as character:
            latents = character.role().latents
        kinds: dict[str, list[str | int]] = {"named people": [*latents.names[: arguments.changes]]}
        if latents.has_mapping:
            kinds["seeds"] = [*range(arguments.changes)]
        for kind, people in kinds.items():
            seen = measure(path, people, arguments.every)
            numbers, arrivals = (np.array(column) for column in zip(*seen, strict=True))
            gaps = np.diff(arrivals) / 1e6
            rows.append(
                {
                    "people": kind,
                    "changes": len(people),
                    "frames": len(seen),
                    "missing": int((np.diff(numbers) - 1).sum()),
                    "fps": round(len(gaps) / (arrivals[-1] - arrivals[0]) * 1e9, 1),
                    "interval_ms_p50": round(float(np.median(gaps)), 2),
                    "interval_ms_p99": round(float(np.percentile(gaps, 99)), 2),
                    "interval_ms_max": round(float(gaps.max()), 2),
                }
            )
    except BunrakuError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{'':<14}{'changes':>8}{'frames':>8}{'missing':>8}{'fps':>7}   interval ms: p50, p99, longest")
    for row in rows:
        print(
            f"{row['people']:<14}{row['changes']:>8}{row['frames']:>8}{row['missing']:>8}{row['fps']:>7}"
            f"{row['interval_ms_p50']:>8}{row['interval_ms_p99']:>8}{row['interval_ms_max']:>8}"
        )
    print(json.dumps({"benchmark": "people", "machine": describe(), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
