"""Cost of bad subscribers to a producer: stopped, killed, paused and slow ones beside a good one.

    python benchmarks/consumers.py                              # 512 pixels a side, 10 s each
    python benchmarks/consumers.py --seconds 30 --side 1024
    python benchmarks/consumers.py --variant shm                # through shared memory instead of raw over tcp

A producer publishes at 60 fps to eight subscribers, each its own process: first to eight good ones, then to one good
one beside two that are stopped (SIGSTOP, so their connections stay open and take nothing), one that is killed and
restarted every second, one that receives and takes nothing, two that take frames at 24 Hz and one at 2 Hz. Prints a
table, then one JSON line; times are milliseconds. Needs a POSIX system.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

import numpy as np
import zmq

from engine_bridge import Frame, Publisher, Subscriber
from engine_bridge.avf.planes import VARIANTS
from engine_bridge.clock import now_ns

FPS: Final = 60
KILL_EVERY_S: Final = 1.0
PATIENCE_S: Final = 30.0
GOOD: Final = ["good"] * 8
BAD: Final = ["good", "stopped", "stopped", "killed", "paused", "24 Hz", "24 Hz", "2 Hz"]
RATES_HZ: Final = {"24 Hz": 24.0, "2 Hz": 2.0}


def main() -> None:
    """Measure both crowds and print the results."""
    parser = argparse.ArgumentParser(description="Measure a producer with bad subscribers.")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time per crowd (default: 10)")
    parser.add_argument("--side", type=int, default=512, help="pixels a side of a frame (default: 512)")
    parser.add_argument("--variant", choices=VARIANTS, default="raw", help="how pixels travel (default: raw)")
    arguments = parser.parse_args()
    if sys.platform == "win32":
        parser.error("processes cannot be stopped here, so that nothing would be measured")
    titles = f"{'subscribers':>12} {'fps':>6} {'dropped':>8} {'publish p50':>12} {'p99':>7} {'worst':>7}"
    print(f"{titles} {'good one took':>14}")
    crowds = (("good", GOOD), ("bad", BAD))
    rows = [measure(name, crowd, arguments.side, arguments.seconds, arguments.variant) for name, crowd in crowds]
    told = {"benchmark": "consumers", "side_px": arguments.side, "variant": arguments.variant, "fps": FPS}
    print(json.dumps({**told, "rows": rows, **machine()}))


def measure(name: str, crowd: list[str], side: int, seconds: float, variant: str) -> dict[str, Any]:
    """One crowd: start it, misbehave for a while, collect results from producer and subscribers."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    producer = processes.Process(target=produce, args=(theirs, side), daemon=True)
    producer.start()
    endpoint = ours.recv()

    def start(manners: str) -> tuple[BaseProcess, Connection]:
        told, tells = processes.Pipe()
        process = processes.Process(target=consume, args=(tells, endpoint, variant, RATES_HZ.get(manners)), daemon=True)
        process.start()
        return process, told

    members = [(manners, *start(manners)) for manners in crowd]
    for _, _, connection in members:
        connection.recv()  # it has a frame
    for manners, process, connection in members:
        if manners == "stopped":
            os.kill(process.pid or 0, signal.SIGSTOP)
        elif manners == "paused":
            connection.send("pause")
    ours.send("measure")
    kills, deadline = 0, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(KILL_EVERY_S, left))
        for index, (manners, process, _) in enumerate(members):
            if manners == "killed":
                process.kill()
                process.join()
                members[index] = (manners, *start(manners))
                kills += 1
    ours.send("tell")
    told = ours.recv()
    taken = [ask(process, connection) for manners, process, connection in members if manners == "good"]
    for _, process, _ in members:
        process.kill()
        process.join()
    ours.send("end")
    producer.join(PATIENCE_S)
    row = {"subscribers": name, "crowd": crowd, "kills": kills, **told, "good_one_took": min(taken)}
    print(
        f"{name:>12} {row['fps']:>6.1f} {row['dropped']:>8} {row['publish_ms'][0]:>12.3f} {row['publish_ms'][1]:>7.3f} "
        f"{row['publish_ms'][2]:>7.3f} {row['good_one_took']:>14}",
        flush=True,
    )
    return row


def ask(process: BaseProcess, connection: Connection) -> int:
    """Number of frames a subscriber has taken."""
    connection.send("tell")
    if not connection.poll(PATIENCE_S):
        raise SystemExit(f"subscriber {process.pid} does not respond")
    taken: int = connection.recv()
    return taken


def produce(connection: Connection, side: int) -> None:
    """A live loop without a character: keeps to 60 fps, and drops late frames."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    calls: list[float] = []
    dropped, frame_id, due, began = 0, 0, time.monotonic(), 0.0
    with Publisher("tcp://127.0.0.1:0", stream="crowd") as publisher:
        connection.send(publisher.endpoint)
        while True:
            if connection.poll():
                order = connection.recv()
                if order == "measure":
                    calls, dropped, began = [], 0, time.monotonic()
                elif order == "tell":
                    seconds = time.monotonic() - began
                    publish_ms = np.percentile(calls, [50, 99, 100]).round(3).tolist()
                    connection.send(
                        {"fps": round(len(calls) / seconds, 2), "dropped": dropped, "publish_ms": publish_ms}
                    )
                else:
                    return
            due += 1 / FPS
            late = time.monotonic() - due
            if late > 1 / FPS:
                missed = int(late * FPS)
                dropped, due = dropped + missed, due + missed / FPS
            time.sleep(max(0.0, due - time.monotonic()))
            frame_id += 1
            started = now_ns()
            publisher.publish(Frame(pixels, frame_id, 0, "", started, started, 0, 0, 0, "none"))
            calls.append((now_ns() - started) / 1e6)


def consume(connection: Connection, endpoint: str, variant: str, rate_hz: float | None) -> None:
    """A game's main loop: takes every frame, or the newest at its own rate, until asked to pause."""
    taken, paused = 0, False
    with Subscriber(endpoint, variant=variant) as subscriber:
        subscriber.wait(PATIENCE_S)
        connection.send("here")
        while True:
            if connection.poll():
                if connection.recv() == "pause":
                    paused = True
                else:
                    connection.send(taken)
            if paused:
                time.sleep(0.1)
            elif rate_hz is None:
                taken += subscriber.wait(0.1) is not None
            else:
                time.sleep(1 / rate_hz)
                taken += subscriber.latest() is not None


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
