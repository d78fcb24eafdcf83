"""How soon frames flow again after either end was killed, and what killed processes leave behind.

    python benchmarks/restarts.py                               # 1,000 kills over tcp
    python benchmarks/restarts.py --restarts 200 --transport ipc
    python benchmarks/restarts.py --restarts 100 --away 3       # dead for up to three seconds

A producer draws nothing at 60 fps, a subscriber takes every frame. Over and over one of them, or both, is killed at a
random moment, without warning, and restarted after a random delay. The time runs from the restarted end being
ready (the later one of both) to the first frame that the subscriber takes. Prints a table, then one JSON line; times
are milliseconds. Exit code 1 if frames stayed away for 30 s, or anything is left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq

from engine_bridge import Frame, Publisher, Subscriber
from engine_bridge.access.discovery import Announcement, StreamPlace, find_streams, folder
from engine_bridge.avf.wire import new_session
from engine_bridge.clock import now_ns

FPS: Final = 60
STREAM: Final = "restarts"
KINDS: Final = ("producer", "subscriber", "both")
PATIENCE_S: Final = 30.0
LONG_MS: Final = 2000.0
SHARED_MEMORY: Final = Path("/dev/shm")


def main() -> int:
    """Kill, restart, wait, and report."""
    parser = argparse.ArgumentParser(description="Kill either end of a stream and measure its recovery.")
    parser.add_argument("--restarts", type=int, default=1000, help="how often something is killed (default: 1000)")
    parser.add_argument("--transport", choices=["tcp", "ipc"], default="tcp")
    parser.add_argument("--away", type=float, default=0.2, help="longest while, in seconds (default: 0.2)")
    parser.add_argument("--side", type=int, default=256, help="pixels a side of a frame (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bunraku-restarts-") as place:
        # Before the first process is started: all of them announce themselves and look here.
        os.environ["XDG_RUNTIME_DIR"] = os.environ["LOCALAPPDATA"] = place
        endpoint = "tcp://127.0.0.1:0" if arguments.transport == "tcp" else f"ipc://{place}/frames"
        show = Show(endpoint, arguments.side)
        started = time.monotonic()
        try:
            outcome = torment(show, arguments.restarts, arguments.away, random.Random(arguments.seed))
        finally:
            show.end()
        find_streams()
        left = {
            "shared_memory": rings_of(show.sessions),
            "places": sorted(path.name for path in folder().glob("*") if path.name != ".lock"),
            "ipc": sorted(path.name for path in Path(place).glob("frames*")),
        }
    rows = [summary(kind, outcome[kind]) for kind in KINDS] + [summary("all", list(chain(*outcome.values())))]
    print(f"{'killed':>10} {'times':>6} {'p50':>8} {'p99':>8} {'max':>8} {'over 2 s':>9} {'never':>6}")
    for row in rows:
        print(
            f"{row['killed']:>10} {row['times']:>6} {row['p50_ms']:>8.1f} {row['p99_ms']:>8.1f} {row['max_ms']:>8.1f} "
            f"{row['over_2_s']:>9} {row['never']:>6}"
        )
    print("left behind: " + ", ".join(f"{len(names)} {what.replace('_', ' ')}" for what, names in left.items()))
    told = {
        "benchmark": "restarts",
        "transport": arguments.transport,
        "side_px": arguments.side,
        "seed": arguments.seed,
        "away_s": arguments.away,
        "rings_at_most": show.rings_at_most,
    }
    told |= {"seconds": round(time.monotonic() - started, 1), "rows": rows, "left_behind": left, **machine()}
    print(json.dumps(told))
    return 1 if rows[-1]["never"] or any(left.values()) else 0


class Show:
    """A producer and a subscriber, each a process that can be killed and restarted.

    Attributes:
        sessions: of all producers so far, the current one last.
        rings_at_most: of theirs at one time, seen while frames flowed.
    """

    def __init__(self, endpoint: str, side: int) -> None:
        # The server has everything imported, so that a new process takes milliseconds.
        self._processes: Any = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
        if sys.platform != "win32":
            modules = [
                "numpy",
                "zmq",
                "psutil",
                "filelock",
                "engine_bridge.client.subscriber",
                "engine_bridge.producer.publisher",
            ]
            self._processes.set_forkserver_preload([*modules, "engine_bridge.access.discovery"])
        self._side = side
        self.rings_at_most = 0
        self.sessions = range(first := new_session() // 2, first)
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._endpoint, self._ready_ns = endpoint, {"producer": 0, "subscriber": 0}
        self.start("producer")
        self.start("subscriber")

    def start(self, end: str) -> None:
        """Start one end and wait until it is ready."""
        if end == "producer":
            self.sessions = range(self.sessions.start, self.sessions.stop + 1)
        ours, theirs = self._processes.Pipe()
        work, argument = (produce, self.sessions[-1]) if end == "producer" else (consume, None)
        process = self._processes.Process(target=work, args=(theirs, self._endpoint, self._side, argument), daemon=True)
        process.start()
        theirs.close()
        self._running[end] = (process, ours)
        self._endpoint, self._ready_ns[end] = ours.recv()

    def kill(self, end: str) -> None:
        """Kill one end without warning."""
        process, connection = self._running.pop(end)
        process.kill()
        process.join()
        connection.close()

    def wait_for_frames(self) -> float | None:
        """Milliseconds from the later end being ready to the first frame of its session, None if none arrives."""
        connection = self._running["subscriber"][1]
        deadline = time.monotonic() + PATIENCE_S
        while connection.poll(max(0.0, deadline - time.monotonic())):
            session, taken_ns = connection.recv()
            if session == self.sessions[-1]:
                return float(taken_ns - max(self._ready_ns.values())) / 1e6
        return None

    def count_rings(self) -> None:
        """Count the current rings of shared memory."""
        self.rings_at_most = max(self.rings_at_most, len(rings_of(self.sessions)))

    def is_found(self) -> bool:
        """Whether the stream is found by name and belongs to the running producer."""
        return [place.pid for place in find_streams()] == [self._running["producer"][0].pid]

    def end(self) -> None:
        """Stop both cleanly."""
        for process, connection in self._running.values():
            connection.send("end")
            process.join(PATIENCE_S)
            connection.close()
        self._running.clear()


def torment(show: Show, restarts: int, away_s: float, chance: random.Random) -> dict[str, list[float | None]]:
    """Kill and restart; milliseconds to the first frame by what was killed, None where none arrived."""
    outcome: dict[str, list[float | None]] = {kind: [] for kind in KINDS}
    show.wait_for_frames()
    for number in range(1, restarts + 1):
        kind = chance.choice(KINDS)
        ends = ["producer", "subscriber"] if kind == "both" else [kind]
        chance.shuffle(ends)
        time.sleep(chance.uniform(0.0, 0.05))
        for end in ends:
            show.kill(end)
        time.sleep(chance.uniform(0.0, away_s))
        for end in ends:
            show.start(end)
        outcome[kind].append(show.wait_for_frames())
        show.count_rings()
        if not show.is_found():
            raise SystemExit(f"after restart {number} ({kind}) the stream is not found by its name")
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{number}/{restarts}" + ("\n" if number == restarts else ""))
    return outcome


def produce(connection: Connection, endpoint: str, side: int, session: int) -> None:
    """A live loop without a character."""
    pixels = np.zeros((side, side, 4), np.uint8)
    with Publisher(endpoint, stream=STREAM, session=session) as publisher:
        place = StreamPlace(pid=os.getpid(), session=session, stream=STREAM, frames=publisher.endpoint)
        with Announcement(place):
            connection.send((publisher.endpoint, now_ns()))
            started, frame_id = time.monotonic(), 0
            while not connection.poll():
                frame_id += 1
                now = now_ns()
                publisher.publish(Frame(pixels, frame_id, 0, "", now, now, 0, 0, 0, "none"))
                time.sleep(max(0.0, started + frame_id / FPS - time.monotonic()))


def consume(connection: Connection, endpoint: str, _side: int, _session: None) -> None:
    """Take frames, and report the first one of each session."""
    session = None
    with Subscriber(endpoint, stream=STREAM) as subscriber:
        connection.send((endpoint, now_ns()))
        while not connection.poll():
            frame = subscriber.wait(0.05)
            if frame is not None and frame.session != session:
                session = frame.session
                connection.send((session, now_ns()))


def summary(killed: str, times_ms: list[float | None]) -> dict[str, Any]:
    """Percentiles and counts of one kind of kill."""
    came = [time_ms for time_ms in times_ms if time_ms is not None]
    p50, p99, largest = np.percentile(came or [0.0], [50, 99, 100]).round(1).tolist()
    return {
        "killed": killed,
        "times": len(times_ms),
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": largest,
        "over_2_s": sum(time_ms > LONG_MS for time_ms in came),
        "never": len(times_ms) - len(came),
    }


def rings_of(sessions: range) -> list[str]:
    """Names of these sessions' shared-memory rings, as specified in docs/protocol.md."""
    names = []
    for path in SHARED_MEMORY.glob("bunraku-*"):
        with contextlib.suppress(FileNotFoundError):  # another producer of this machine has ended
            with path.open("rb") as ring:
                head = ring.read(40)
            if int.from_bytes(head[32:40], "little") in sessions:
                names.append(path.name)
    return sorted(names)


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
    sys.exit(main())
