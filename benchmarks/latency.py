"""Age of frames, motion to photon and processor time: a publisher, two subscribers, each its own process.

    python benchmarks/latency.py                                # 64, 256, 512 and 1024 pixels a side, 5 s each
    python benchmarks/latency.py --seconds 10 --sizes 512
    python benchmarks/latency.py --variant shm                  # through shared memory instead of raw over tcp
    python benchmarks/latency.py --keys                         # encrypted

The publisher runs at 60 fps and draws nothing, so only the bridge is measured. One subscriber takes
frames at 24 Hz, one at 60 Hz; the latter also sends a control per frame taken and waits for its echo. Prints a table,
then one JSON line. Times are milliseconds, p50 and p99.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from engine_bridge import (
    ControlClient,
    ControlServer,
    ControlSpec,
    ControlState,
    Frame,
    Publisher,
    StreamInfo,
    Subscriber,
)
from engine_bridge.access.keys import ClientKeys, ServerKeys, add_client, make_server_keys
from engine_bridge.avf.planes import VARIANTS
from engine_bridge.clock import now_ns

FPS = 60
WARM_UP_S = 0.5
CONTROLS = [ControlSpec("jawOpen", 0.0, 1.0, 0.0)]


def main() -> None:
    """Measure every size and print the results."""
    parser = argparse.ArgumentParser(description="Measure the bridge.")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time per size (default: 5)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 512, 1024], help="pixels a side")
    parser.add_argument("--variant", choices=VARIANTS, default="raw", help="how pixels travel (default: raw)")
    parser.add_argument("--keys", action="store_true", help="encrypt and authenticate both channels")
    arguments = parser.parse_args()
    titles = ("age 24 Hz", "age 60 Hz", "arrival", "motion-photon", "publish()")
    print(f"{'size':>6} " + " ".join(f"{title:>15}" for title in titles) + "  CPU per frame")
    with tempfile.TemporaryDirectory() as folder:
        keys = make_keys(Path(folder) / "keys") if arguments.keys else (None, None)
        rows = [measure(side, arguments.seconds, arguments.variant, *keys) for side in arguments.sizes]
    told = {"benchmark": "latency", "transport": "tcp loopback", "variant": arguments.variant, "keys": arguments.keys}
    print(json.dumps({**told, "fps": FPS, "rows": rows, **machine()}))


def make_keys(folder: Path) -> tuple[ServerKeys, ClientKeys]:
    """Keys of the producer and of both subscribers."""
    return make_server_keys(folder), add_client(folder, "subscriber", folder / "subscriber.client.toml")


def measure(
    side: int, seconds: float, variant: str, server: ServerKeys | None, client: ClientKeys | None
) -> dict[str, Any]:
    """One size: start three processes, let them run, collect their results."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    producer = spawn.Process(target=produce, args=(theirs, side, server), daemon=True)
    producer.start()
    frames, control = ours.recv()
    results, processes = [], [producer]
    for rate_hz, sends in ((24, False), (60, True)):
        results_ours, results_theirs = spawn.Pipe()
        arguments = (results_theirs, frames, control if sends else "", rate_hz, seconds, variant, client)
        processes.append(spawn.Process(target=consume, args=arguments, daemon=True))
        processes[-1].start()
        results.append(results_ours)
    slow, fast = (connection.recv() for connection in results)
    ours.send("done")
    told = ours.recv()
    for process in processes:
        process.join()
    row = {
        "side_px": side,
        "age_24hz_ms": slow["age"],
        "age_60hz_ms": fast["age"],
        "arrival_ms": fast["arrival"],
        "motion_to_photon_ms": fast["echo"],
        "publish_ms": told["publish"],
        "cpu_ms_per_frame": {"producer": told["cpu"], "subscriber_24hz": slow["cpu"], "subscriber_60hz": fast["cpu"]},
        "skipped_24hz": slow["skipped"],
        "missed": [slow["missed"], fast["missed"]],
        "fps": told["fps"],
    }
    cells = [row[key] for key in ("age_24hz_ms", "age_60hz_ms", "arrival_ms", "motion_to_photon_ms", "publish_ms")]
    cpu = " + ".join(f"{value:.2f}" for value in row["cpu_ms_per_frame"].values())
    print(f"{side:>6} " + " ".join(f"{p50:>7.2f} {p99:>7.2f}" for p50, p99 in cells) + f"  {cpu}", flush=True)
    return row


def produce(connection: Connection, side: int, keys: ServerKeys | None) -> None:
    """A live loop without a character: polls controls, publishes, keeps to 60 fps."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    calls: list[float] = []
    echo = (0, 0)
    with Publisher("tcp://127.0.0.1:0", stream="bench", keys=keys) as publisher:
        info = StreamInfo(publisher.session, "bench", "none", side, side, FPS, CONTROLS)
        with ControlServer("tcp://127.0.0.1:0", info, keys=keys) as control:
            connection.send((publisher.endpoint, control.endpoint))
            while publisher.subscriber_count < 2:
                time.sleep(0.001)
            started, cpu_started, frame_id = time.monotonic(), time.process_time(), 0
            while not connection.poll():
                frame_id += 1
                time.sleep(max(0.0, started + frame_id / FPS - time.monotonic()))
                state = control.poll()
                if state is not None:
                    echo = (state.control_id, state.timestamp_ns)
                now = now_ns()
                publisher.publish(Frame(pixels, frame_id, 0, "", now, now, 0, *echo, "none"))
                calls.append((now_ns() - now) / 1e6)
            elapsed, cpu = time.monotonic() - started, time.process_time() - cpu_started
    connection.send({"publish": percentiles(calls), "cpu": 1000 * cpu / frame_id, "fps": frame_id / elapsed})


def consume(
    connection: Connection,
    frames: str,
    control: str,
    rate_hz: int,
    seconds: float,
    variant: str,
    keys: ClientKeys | None,
) -> None:
    """A game's main loop: takes the newest frame at its own rate."""
    echoes: list[float] = []
    client = ControlClient(control, keys=keys) if control else None
    with Subscriber(frames, variant=variant, keys=keys) as subscriber:
        subscriber.wait(60.0)
        time.sleep(WARM_UP_S)
        cpu_started, taken_before = time.process_time(), subscriber.statistics.received
        started, tick, sent_id, open_since = time.monotonic(), 0, 0, 0
        while time.monotonic() - started < seconds:
            tick += 1
            time.sleep(max(0.0, started + tick / rate_hz - time.monotonic()))
            frame = subscriber.latest()
            if client is None or frame is None:
                continue
            if open_since and frame.control_id >= sent_id:
                echoes.append((now_ns() - open_since) / 1e6)
                open_since = 0
            if not open_since:
                sent = client.send(ControlState(controls={"jawOpen": tick % 2}))
                sent_id, open_since = sent.control_id, sent.timestamp_ns
        cpu = time.process_time() - cpu_started
        statistics = subscriber.statistics
    if client is not None:
        client.close()
    connection.send(
        {
            "age": (statistics.age_take_ms_p50, statistics.age_take_ms_p99),
            "arrival": (statistics.age_arrival_ms_p50, statistics.age_arrival_ms_p99),
            "echo": percentiles(echoes),
            "cpu": 1000 * cpu / max(1, statistics.received - taken_before),
            "skipped": statistics.skipped,
            "missed": statistics.missed,
        }
    )


def percentiles(values: list[float]) -> tuple[float, float]:
    """p50 and p99, zeros if there is nothing."""
    return tuple(np.percentile(values or [0.0], [50, 99]).round(3).tolist())


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
