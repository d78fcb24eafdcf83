"""Age of the newest frame when a consumer at 24 Hz takes it, for the C, the C# and the Python client.

    python benchmarks/clients.py                       # 256 and 1024 pixels a side, 10 s per client
    python benchmarks/clients.py --sizes 512 --hz 60 --seconds 30

A producer at 60 fps that draws nothing, and one client at a time, each a process. Half the distance of two frames, 8.3
ms, is what waiting for the next frame costs on average at any rate; the rest is the bridge. The rate is a little off 24
Hz: 60 is 2.5 times that, and every age would be one of two. C runs `native_age` of the CMake build, C# the Unity
package on Mono with stand-ins for Unity's classes, uploads of its texture included; both are built by this program.
Prints a table, then one JSON line. Milliseconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from engine_bridge import Frame, Publisher, Subscriber
from tests.native_build import native_library
from tests.unity.game import Game, compile_game

FPS = 60
SETTLE_S = 1.5
REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure every client at every size and print the results."""
    parser = argparse.ArgumentParser(description="Measure the clients.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024], help="pixels a side")
    parser.add_argument("--hz", type=float, default=23.9, help="how often a client takes a frame (default: 23.9)")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time per client (default: 10)")
    arguments = parser.parse_args()
    rows = []
    print(
        f"{'side':>6} {'client':>8} {'variant':>8} {'age p50':>8} {'shown':>6} {'skipped':>8} {'missed':>7} {'fps':>6}"
    )
    with tempfile.TemporaryDirectory() as folder:
        program = compile_game(Path(folder))
        library = native_library()
        native_age = build_native_age(Path(folder))
        for side in arguments.sizes:
            for name, client in (
                ("C", lambda endpoint: in_c(native_age, endpoint, arguments)),
                ("C#", lambda endpoint: in_c_sharp(program, library, endpoint, arguments)),
                ("Python", lambda endpoint: in_python(endpoint, arguments)),
            ):
                row = {"side_px": side, "client": name, **measure(side, client)}
                print(
                    f"{side:>6} {name:>8} {row['variant']:>8} {row['age_take_ms_p50']:>8.2f} {row['shown']:>6} "
                    f"{row['skipped']:>8} {row['missed']:>7} {row['fps']:>6.2f}",
                    flush=True,
                )
                rows.append(row)
    print(json.dumps({"benchmark": "clients", "hz": arguments.hz, "producer_fps": FPS, "rows": rows, **machine()}))


def build_native_age(folder: Path) -> Path:
    """The C client's program, as built by `cmake --preset linux-release`."""
    options = ["-DBUNRAKU_NATIVE=ON", "-DBUNRAKU_BENCHMARKS=ON", "-DBUNRAKU_PYTHON_TESTS=OFF", "-DBUNRAKU_TESTS=OFF"]
    for command in (
        ["cmake", "-S", REPOSITORY, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release", *options],
        ["cmake", "--build", folder / "build", "--target", "native_age", "--parallel", "2"],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    return next(iter((folder / "build").rglob("native_age")))


def measure(side: int, client: Any) -> dict[str, Any]:
    """Run one client with its own producer."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    producer = spawn.Process(target=produce, args=(theirs, side), daemon=True)
    producer.start()
    told: dict[str, Any] = client(ours.recv())
    ours.send("done")
    told["fps"] = ours.recv()
    producer.join()
    return told


def produce(connection: Connection, side: int) -> None:
    """Publish at 60 fps while anyone subscribes."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    with Publisher("tcp://127.0.0.1:0", stream="bench") as publisher:
        connection.send(publisher.endpoint)
        while not publisher.has_subscribers:
            time.sleep(0.001)
        started, frame_id = time.monotonic(), 0
        while not connection.poll():
            frame_id += 1
            time.sleep(max(0.0, started + frame_id / FPS - time.monotonic()))
            publisher.publish(Frame(pixels, frame_id, 0, "", 0, 0, 0, 0, 0, "none"))
        elapsed = time.monotonic() - started
    connection.send(round(frame_id / elapsed, 2))


def in_c(program: Path, endpoint: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The native client."""
    done = subprocess.run(
        [program, endpoint, str(arguments.hz), str(SETTLE_S + arguments.seconds)],
        capture_output=True,
        text=True,
        check=True,
        timeout=arguments.seconds + 60,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return {key: told[key] for key in ("age_take_ms_p50", "shown", "skipped", "missed")} | {"variant": told["encoding"]}


def in_c_sharp(program: Path, library: Path, endpoint: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The Unity package on Mono."""
    ticks = round((SETTLE_S + arguments.seconds) * arguments.hz)
    game = Game(program, library)
    try:
        game.ask("open", f"Endpoint={endpoint}")
        game.ask("tick", ticks, round(1000 / arguments.hz))
        told = game.ask("report")
    finally:
        game.kill()
    counts = {key: int(told[key]) for key in ("shown", "skipped", "missed")}
    return {"age_take_ms_p50": float(told["age_p50"]), "variant": told["encoding"].lower(), **counts}


def in_python(endpoint: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The Python client, in this process, which does nothing else."""
    with Subscriber(endpoint) as subscriber:
        subscriber.wait(60.0)
        started = time.monotonic()
        for tick in range(round((SETTLE_S + arguments.seconds) * arguments.hz)):
            time.sleep(max(0.0, started + tick / arguments.hz - time.monotonic()))
            subscriber.latest()
        statistics = subscriber.statistics
        return {
            "age_take_ms_p50": statistics.age_take_ms_p50,
            "shown": statistics.shown,
            "skipped": statistics.skipped,
            "missed": statistics.missed,
            "variant": subscriber.variant,
        }


def machine() -> dict[str, Any]:
    """Versions and machine of the measurement."""
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
    }


if __name__ == "__main__":
    main()
