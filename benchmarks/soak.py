"""Half an hour of trouble: suspends, kills and floods beside one honest subscriber.

    python benchmarks/soak.py                                # 30 minutes, a test card
    python benchmarks/soak.py --minutes 3 --engine auto --seed 7

`bunraku live` plays with a web page, and is watched by an undisturbed honest subscriber, and by a Python,
a native and a C# client and a page, to which everything happens; the Python client also steers at 60 Hz. Every few
seconds one end, the producer included, is suspended (SIGSTOP) or killed and restarted, or a stranger floods one
limited resource. Prints a table, then one JSON line. Exit code 1 if a process ended in any way that this program
did not cause, if the honest subscriber did not come back, or if memory or descriptors grew. Needs Linux; the native and
the C# client are skipped, with a message, where they cannot be built.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import zmq
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from engine_bridge import ControlClient, ControlState, Subscriber
from tests.floods import FLOODS, flooding

REPOSITORY: Final = Path(__file__).resolve().parents[1]
STREAM: Final = "soak"
WARM_UP_S: Final = 20.0
PATIENCE_S: Final = 30.0
FLOOD_S: Final = 6.0
MOST_GROWTH_MB: Final = 50
MOST_NEW_DESCRIPTORS: Final = 8


@dataclass
class Place:
    """Endpoints of the producer; fixed, so that it returns to the same place."""

    frames: int
    control: int
    web: int


@dataclass
class End:
    """One end of the bridge, a process that can be suspended and restarted.

    Attributes:
        name: for the table.
        start: starts a process.
        process: the current one.
        deaths: unexpected ends, in words.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] = field(init=False)
    deaths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the first process."""
        self.process = self.start()

    def check(self) -> None:
        """Record an unexpected end, and restart the process."""
        code = self.process.poll()
        if code is not None:
            self.deaths.append(f"{self.name} ended with code {code}")
            self.process = self.start()

    def suspend(self, seconds: float) -> None:
        """Suspend the process for a while, like a sleeping laptop or a breakpoint."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process without warning, and restart it."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process = self.start()

    def end(self) -> None:
        """Kill the process."""
        self.check()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE_S)
        self.process.kill()
        self.process.wait(PATIENCE_S)


@dataclass
class Sample:
    """One second: the current event, frames taken by the honest subscriber, memory and descriptors of the producer."""

    doing: str
    frames: int
    rss_mb: float
    descriptors: int


class Watch(threading.Thread):
    """Takes a sample every second.

    Attributes:
        doing: the current event, set by the tormentor.
        samples: taken so far.
    """

    def __init__(self, honest: Any, producer: End) -> None:
        super().__init__(name="watch", daemon=True)
        self.doing = "warm-up"
        self.samples: list[Sample] = []
        self._honest, self._producer = honest, producer
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until `close`."""
        before, due = self._honest.value, time.monotonic()
        while not self._over.is_set():
            doing = self.doing
            due += 1.0
            self._over.wait(max(0.0, due - time.monotonic()))
            now = self._honest.value
            with suppress(psutil.Error):
                process = psutil.Process(self._producer.process.pid)
                with process.oneshot():
                    rss_mb, descriptors = process.memory_info().rss / 2**20, process.num_fds()
                same = doing == self.doing
                self.samples.append(Sample(doing if same else "between", now - before, rss_mb, descriptors))
            before = now

    def close(self) -> None:
        """Stop sampling."""
        self._over.set()
        self.join()


def main() -> int:
    """Torment and report."""
    parser = argparse.ArgumentParser(description="Suspend, kill and flood a playing character.")
    parser.add_argument("--minutes", type=float, default=30.0, help="length (default: 30)")
    parser.add_argument(
        "--engine", default="synthetic", help="of the producer; a network needs its own cores (default: synthetic)"
    )
    parser.add_argument("--fps", type=int, default=60, help="of the producer (default: 60)")
    parser.add_argument("--pause", type=float, nargs=2, default=[5.0, 15.0], help="seconds between two events")
    parser.add_argument("--seed", type=int, default=0, help="of the order of events")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.error("this program suspends processes and reads /proc, which works on Linux only")
    with tempfile.TemporaryDirectory(prefix="bunraku-soak-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        told = soak(Path(folder), arguments)
    print(json.dumps({"benchmark": "soak", **told, **machine()}))
    return 0 if not told["faults"] else 1


def soak(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Start everything, torment it for the requested time, print the table."""
    place = Place(*free_ports(3))
    log = (folder / "producer.log").open("wb")

    def start_producer() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "runtime.cli", "live", "aki", "--no-window", "--stream", STREAM]
        command += ["--engine", arguments.engine, "--fps", str(arguments.fps), "--web", f"127.0.0.1:{place.web}"]
        command += ["--publish", f"tcp://127.0.0.1:{place.frames}", "--control", f"tcp://127.0.0.1:{place.control}"]
        return start(command, log)

    producer = End("producer", start_producer)
    honest = multiprocessing.get_context("spawn").Value("Q", 0)
    context = multiprocessing.get_context("spawn")
    honest_end = context.Process(target=take_honestly, args=(honest, place.frames), daemon=True)
    honest_end.start()
    clients = [
        End("Python client", lambda: start([sys.executable, __file__, "--as", "python", *words(place)], log)),
        End("page", lambda: start([sys.executable, __file__, "--as", "page", *words(place)], log)),
        *native_clients(folder, place, arguments.minutes, log),
    ]
    wait_for_frames(honest)
    time.sleep(WARM_UP_S)
    watch = Watch(honest, producer)
    watch.start()
    try:
        back_ms = torment(watch, honest, producer, clients, place, arguments)
    finally:
        watch.close()
        for end in (*clients, producer):
            end.end()
        honest_end.kill()
        log.close()
    text = (folder / "producer.log").read_text(errors="replace")
    deaths = [line for end in (producer, *clients) for line in end.deaths]
    return report(watch.samples, back_ms, deaths, text)


def torment(
    watch: Watch, honest: Any, producer: End, clients: list[End], place: Place, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Run one event after another; milliseconds until the honest subscriber had frames again, by event."""
    chance = random.Random(arguments.seed)
    back_ms: dict[str, list[float]] = {}
    deadline = time.monotonic() + 60 * arguments.minutes
    floods: Iterator[str] = shuffled_for_ever(list(FLOODS), chance)
    ends = shuffled_for_ever([producer, *clients], chance)
    kinds = shuffled_for_ever(["suspend", "suspend", "kill", "flood", "flood"], chance)
    while time.monotonic() < deadline:
        watch.doing = "nothing"
        time.sleep(chance.uniform(*arguments.pause))
        for end in (producer, *clients):
            end.check()
        kind = next(kinds)
        if kind == "flood":
            name = next(floods)
            watch.doing = f"flood: {name}"
            with flooding(name, f"tcp://127.0.0.1:{place.frames}", f"tcp://127.0.0.1:{place.control}"):
                time.sleep(FLOOD_S)
        else:
            end = next(ends)
            watch.doing = f"{kind} {end.name}"
            if kind == "kill":
                end.kill()
            else:
                end.suspend(chance.choice([1.0, 4.0, 8.0, 10.0]))
        started = time.monotonic()
        wait_for_frames(honest)
        back_ms.setdefault(watch.doing, []).append(1000 * (time.monotonic() - started))
        print_progress(watch.doing, deadline)
    return back_ms


def report(samples: list[Sample], back_ms: dict[str, list[float]], deaths: list[str], log: str) -> dict[str, Any]:
    """Print the table; returns the contents of the JSON line."""
    print(f"{'while':>36} {'times':>6} {'seconds':>8} {'fps p50':>8} {'fps p5':>7}", end=" ")
    print(f"{'back p50':>9} {'max':>7} {'MB max':>7}")
    rows = []
    for doing in ["nothing", *sorted(back_ms)]:
        of = [sample for sample in samples if sample.doing == doing]
        back = back_ms.get(doing, [])
        frames = [sample.frames for sample in of]
        row = {
            "while": doing,
            "times": len(back),
            "seconds": len(of),
            "fps_p50": statistics.median(frames) if frames else None,
            "fps_p5": sorted(frames)[len(frames) // 20] if frames else None,
            "back_ms_p50": statistics.median(back) if back else None,
            "back_ms_max": max(back) if back else None,
            "rss_mb_max": max((sample.rss_mb for sample in of), default=None),
        }
        rows.append(row)
        print(
            f"{doing:>36} {row['times']:>6} {row['seconds']:>8} {cell(row['fps_p50'], 8)} {cell(row['fps_p5'], 7)} "
            f"{cell(row['back_ms_p50'], 9)} {cell(row['back_ms_max'], 7)} {cell(row['rss_mb_max'], 7, 1)}"
        )
    quiet = [sample for sample in samples if sample.doing == "nothing"]
    tenth = max(1, len(quiet) // 10)
    growth = {
        "rss_mb": [round(statistics.median(s.rss_mb for s in part), 1) for part in (quiet[:tenth], quiet[-tenth:])],
        "rss_mb_max": round(max(sample.rss_mb for sample in samples), 1),
        "descriptors": [statistics.median(s.descriptors for s in part) for part in (quiet[:tenth], quiet[-tenth:])],
        "descriptors_max": max(sample.descriptors for sample in samples),
    }
    faults = list(deaths)
    faults += [f"in the log: {line}" for line in log.splitlines() if "Assertion" in line or "Traceback" in line]
    faults += [
        f"no frames within {PATIENCE_S:g} s after: {doing}"
        for doing, back in back_ms.items()
        if max(back) >= 1000 * PATIENCE_S
    ]
    if growth["rss_mb"][1] - growth["rss_mb"][0] > MOST_GROWTH_MB:
        faults.append(f"memory grew from {growth['rss_mb'][0]} to {growth['rss_mb'][1]} MB")
    if growth["descriptors"][1] - growth["descriptors"][0] > MOST_NEW_DESCRIPTORS:
        faults.append(f"descriptors grew from {growth['descriptors'][0]} to {growth['descriptors'][1]}")
    start_mb, end_mb = growth["rss_mb"]
    print(f"producer: {start_mb} MB at the start, {end_mb} at the end, {growth['rss_mb_max']} at most;", end=" ")
    print(f"descriptors {growth['descriptors'][0]:g}, {growth['descriptors'][1]:g}, {growth['descriptors_max']}")
    print(f"faults: {'; '.join(faults) or 'none'}")
    return {"rows": rows, "producer": growth, "faults": faults, "seconds": len(samples)}


def native_clients(folder: Path, place: Place, minutes: float, log: Any) -> list[End]:
    """The native and the C# client, if they can be built."""
    import pytest

    from benchmarks.clients import build_native_age
    from tests.native_build import native_library
    from tests.unity.game import compile_game, need_mono

    ends = []
    frames = f"tcp://127.0.0.1:{place.frames}"
    seconds = str(60 * minutes + 600)
    try:
        library = native_library()
        program = build_native_age(folder)
        ends.append(End("native client", lambda: start([str(program), frames, "60", seconds], log)))
        need_mono()
        game = compile_game(folder)
        more = ["--as", "c-sharp", *words(place), "--game", str(game), "--library", str(library)]
        ends.append(End("C# client", lambda: start([sys.executable, __file__, *more], log)))
    except pytest.skip.Exception as reason:
        print(f"skipped: {reason}", file=sys.stderr)
    return ends


def start(command: list[str], log: Any) -> subprocess.Popen[bytes]:
    """Start a process in its own group, with its output in the log."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def words(place: Place) -> list[str]:
    """Endpoints of the producer for a process of this program."""
    return [str(port) for port in (place.frames, place.control, place.web)]


def take_honestly(count: Any, port: int) -> None:
    """Take every frame, and count."""
    with Subscriber(f"tcp://127.0.0.1:{port}", stream=STREAM) as subscriber:
        while True:
            if subscriber.wait(1.0) is not None:
                count.value += 1


def play_python(place: Place) -> None:
    """Watch, and send controls at 60 Hz."""
    frames, control = f"tcp://127.0.0.1:{place.frames}", f"tcp://127.0.0.1:{place.control}"
    with Subscriber(frames, stream=STREAM) as subscriber, ControlClient(control) as client:
        while True:
            client.send(ControlState(controls={"headYaw": (time.time() * 40) % 20}))
            subscriber.latest()
            time.sleep(1 / 60)


def play_page(place: Place) -> None:
    """Behave like the page: request the next frame as each one arrives."""
    while True:
        with suppress(OSError, WebSocketException, TimeoutError):
            url = f"ws://127.0.0.1:{place.web}/avf1?stream={STREAM}"
            with connect(url, max_size=None, compression=None, open_timeout=PATIENCE_S) as page:
                while True:
                    page.send("more")
                    page.recv(timeout=5.0)
        time.sleep(0.5)


def play_c_sharp(place: Place, game: Path, library: Path) -> None:
    """The Unity package on Mono, at 60 Hz; it dies with this process."""
    from tests.unity.game import Game

    running = Game(game, library)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        running.ask("open", f"Endpoint=tcp://127.0.0.1:{place.frames}")
        while True:
            running.ask("tick", 60, 16)
    finally:
        running.kill()


def wait_for_frames(honest: Any) -> None:
    """Return once the honest subscriber takes frames, or patience runs out."""
    before, deadline = honest.value, time.monotonic() + PATIENCE_S
    while honest.value < before + 3 and time.monotonic() < deadline:
        time.sleep(0.005)


def shuffled_for_ever(things: list[Any], chance: random.Random) -> Iterator[Any]:
    """All events in a random order, repeated."""
    while True:
        yield from chance.sample(things, len(things))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago."""
    with contextmanager(_bound)(count) as sockets:
        return [each.getsockname()[1] for each in sockets]


def _bound(count: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    yield sockets
    for each in sockets:
        each.close()


def cell(value: float | None, width: int, digits: int = 0) -> str:
    """A number of the table, or a dash."""
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def print_progress(doing: str, deadline: float) -> None:
    """One line on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{max(0.0, deadline - time.monotonic()) / 60:5.1f} min left; {doing:40}")


def machine() -> dict[str, Any]:
    """Versions and machine of the measurement."""
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        told = Place(*map(int, sys.argv[3:6]))
        if sys.argv[2] == "python":
            play_python(told)
        elif sys.argv[2] == "page":
            play_page(told)
        else:
            play_c_sharp(told, Path(sys.argv[7]), Path(sys.argv[9]))
    else:
        sys.exit(main())
