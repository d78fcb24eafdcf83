"""Cost of a frame's way: tcp, ipc and shared memory, raw and compressed, compared with a plain copy of its memory.

    python benchmarks/transport.py                               # 256², 512², 1024² and 1920x1080, 4 s each
    python benchmarks/transport.py --sizes 512x512 --seconds 10
    python benchmarks/transport.py --native build/linux-release/engine_bridge/native/examples/native_age

With --native the client is that program of the CMake build instead of the Python one. One producer at 60 fps and one
client, two processes, one row at a time. "One-way" is from just before the frame is published to when the client holds
memory of its own that nobody overwrites. "Delivered" is measured apart, with a producer that does not wait: bytes
of whole pictures that reach the client per second, next to what a copy into other memory reaches here (both cold,
larger than the caches). Prints a table, then one JSON line. Milliseconds; p50 and p99.
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
from engine_bridge.clock import now_ns

FPS = 60
SETTLE_S = 1.0
WAYS = (("tcp", "raw"), ("ipc", "raw"), ("tcp", "shm"), ("ipc", "shm"), ("tcp", "lz4"), ("tcp", "jpeg"))


def main() -> None:
    """Measure every transport at every size and print the results."""
    parser = argparse.ArgumentParser(description="Measure how frames travel.")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time per row (default: 4)")
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x512", "1024x1024", "1920x1080"])
    parser.add_argument(
        "--native", type=Path, help="the program native_age of the CMake build, to measure the C client"
    )
    arguments = parser.parse_args()
    titles = ("one-way p50", "p99", "CPU out", "CPU in", "delivered")
    print(
        f"{'size':>10} {'way':>8} {titles[0]:>12} "
        + " ".join(f"{t:>8}" for t in titles[1:4])
        + "   delivered of memcpy"
    )
    rows = []
    for size in arguments.sizes:
        width, height = (int(side) for side in size.split("x"))
        copy = memcpy_gb_s(width * height * 4)
        for transport, variant in WAYS:
            row = {"size": size, "transport": transport, "variant": variant, "memcpy_gb_s": round(copy, 2)}
            row |= measure(transport, variant, (height, width), arguments)
            row["of_memcpy"] = round(row["delivered_gb_s"] / copy, 3)
            print(
                f"{size:>10} {transport + ' ' + variant:>8} {row['one_way_ms'][0]:>12.3f} {row['one_way_ms'][1]:>8.3f} "
                f"{row['cpu_out_ms']:>8.3f} {row['cpu_in_ms']:>8.3f} {row['delivered_gb_s']:>7.2f} GB/s "
                f"{row['of_memcpy']:>9.2f}",
                flush=True,
            )
            rows.append(row)
    client = "C++" if arguments.native else "Python"
    print(json.dumps({"benchmark": "transport", "client": client, "fps": FPS, "rows": rows, **machine()}))


def memcpy_gb_s(size: int) -> float:
    """Bytes per second of a plain copy, over memory larger than the caches, median of nine."""
    count = max(4, 256 * 2**20 // size)
    source = np.ones((count, size), np.uint8)
    target = np.zeros((count, size), np.uint8)
    rates = []
    for _ in range(9):
        started = time.perf_counter()
        for index in range(count):
            np.copyto(target[index], source[index])
        rates.append(count * size / (time.perf_counter() - started) / 1e9)
    return float(np.median(rates))


def measure(transport: str, variant: str, shape: tuple[int, int], arguments: argparse.Namespace) -> dict[str, Any]:
    """One row: a producer process that paces itself and then does not, and a client."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        endpoint = "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{folder}/frames"
        producer = spawn.Process(target=produce, args=(theirs, endpoint, shape), daemon=True)
        producer.start()
        endpoint = ours.recv()
        client = native if arguments.native else python
        told = {}
        for paced in (True, False):
            ours.send(paced)
            told[paced] = client(endpoint, variant, arguments), None
            ours.send("done")
            told[paced] = told[paced][0], ours.recv()
        ours.send(None)
        producer.join()
    (steady, out), (rushed, _) = told[True], told[False]
    size = shape[0] * shape[1] * 4
    return {
        "one_way_ms": steady["arrival"],
        "cpu_out_ms": round(out["cpu"], 3),
        "cpu_in_ms": round(steady["cpu"], 3),
        "delivered_gb_s": round(rushed["per_second"] * size / 1e9, 3),
        "missed": steady["missed"],
        "fps": round(out["fps"], 2),
    }


def produce(connection: Connection, endpoint: str, shape: tuple[int, int]) -> None:
    """Publishes pictures from memory larger than the caches, paced or as fast as it goes, until told to stop."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    count = max(4, 64 * 2**20 // (shape[0] * shape[1] * 4))
    pictures = [
        np.stack([x + n, y + n, x + y, np.full_like(x, 255)], -1).astype(np.uint8) ^ rng.integers(0, 4, (), np.uint8)
        for n in range(count)
    ]
    with Publisher(endpoint, stream="bench") as publisher:
        connection.send(publisher.endpoint)
        frame_id = 0
        while (paced := connection.recv()) is not None:
            while not publisher.has_subscribers:
                time.sleep(0.001)
            started, cpu_started, first_id = time.monotonic(), time.process_time(), frame_id
            while not connection.poll():
                frame_id += 1
                if paced:
                    time.sleep(max(0.0, started + (frame_id - first_id) / FPS - time.monotonic()))
                now = now_ns()
                publisher.publish(Frame(pictures[frame_id % count], frame_id, 0, "", now, now, now, 0, 0, "none"))
            connection.recv()
            frames = frame_id - first_id
            elapsed = time.monotonic() - started
            connection.send({"cpu": 1000 * (time.process_time() - cpu_started) / frames, "fps": frames / elapsed})


def python(endpoint: str, variant: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The Python client, in a separate process."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=subscribe, args=(theirs, endpoint, variant, arguments.seconds), daemon=True)
    process.start()
    told: dict[str, Any] = ours.recv()
    process.join()
    return told


def subscribe(connection: Connection, endpoint: str, variant: str, seconds: float) -> None:
    """Receive only, so that only the receiving thread works."""
    with Subscriber(endpoint, variant=variant) as subscriber:
        subscriber.wait(60.0)
        time.sleep(SETTLE_S)
        cpu, before, started = time.process_time(), subscriber.statistics, time.monotonic()
        time.sleep(seconds)
        after, elapsed = subscriber.statistics, time.monotonic() - started
        received = after.received - before.received
        connection.send(
            {
                "arrival": (after.age_arrival_ms_p50, after.age_arrival_ms_p99),
                "cpu": 1000 * (time.process_time() - cpu) / received,
                "per_second": received / elapsed,
                "missed": after.missed - before.missed,
            }
        )


def native(endpoint: str, variant: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The C client, through the program of the CMake build, which also takes every frame at 60 Hz."""
    before = os.times()
    done = subprocess.run(
        [str(arguments.native), endpoint, str(FPS), str(arguments.seconds), variant],
        capture_output=True,
        text=True,
        check=True,
        timeout=arguments.seconds + 60,
    )
    after = os.times()
    told = json.loads(done.stdout.splitlines()[-1])
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "arrival": (told["age_arrival_ms_p50"], told["age_arrival_ms_p99"]),
        "cpu": 1000 * cpu_s / max(1, told["received"]),
        "per_second": told["fps"],
        "missed": told["missed"],
    }


def machine() -> dict[str, Any]:
    """Versions and machine of the measurement."""
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
    }


if __name__ == "__main__":
    main()
