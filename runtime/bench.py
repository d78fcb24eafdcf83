"""Measurements against the budget: engine, loop, transport, start-up, memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from engine_bridge.client.subscriber import Subscriber
from engine_bridge.clock import now_ns
from engine_bridge.errors import EngineError
from engine_bridge.producer.publisher import Publisher
from runtime.character.role import Role
from runtime.drivers.table import open_drivers
from runtime.engines.base import Engine
from runtime.live.performer import Performer
from runtime.live.stage import Stage, pays_together

from .bench_lane import Lane, psnr_db
from .engines.factory import Candidate, EngineSettings

# Budget of the live loop: a frame every 16.7 ms beside a game.
BUDGET: Final = {
    "engine_ms_p50": 10.0,
    "other_ms_p50": 1.0,
    "transport_ms_p50": 3.0,
    "first_frame_s": 1.5,
    "rss_mb": 250.0,
}

# Fits eighty columns with the longest engine name.
HEADINGS: Final = ("engine", "start", "p50", "p99", "60Hz", "p99", "fps", "cores", "busy", "p99", "MB", "dB")
_ROUND: Final = 20  # pictures that one engine draws before the next takes its turn


class Figure(msgspec.Struct, frozen=True):
    """One measurement.

    Attributes:
        name: what was measured; its suffix gives the unit: milliseconds, seconds or mebibytes.
        value: the result.
        budget: maximum, None if there is no limit.
    """

    name: str
    value: float
    budget: float | None = None

    @property
    def good(self) -> bool:
        """Whether it is within budget."""
        return self.budget is None or self.value <= self.budget


def figure(name: str, value: float) -> Figure:
    """A measurement with its budget."""
    return Figure(name, round(value, 3), BUDGET.get(name))


class EngineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements of one engine.

    Attributes:
        engine: backend and precision.
        provider: what it ran on.
        start_s: from the start of the process to its first picture.
        ms_p50: back to back, median.
        ms_p99: its 99th percentile.
        paced_ms_p50: at 60 frames a second with rests between, median.
        paced_ms_p99: its 99th percentile.
        fps: pictures a second when paced at 60.
        cores: processor time when paced, in cores.
        busy_ms_p50: like `paced_ms_p50`, beside a process that keeps one core busy for three fifths of the time.
        busy_ms_p99: its 99th percentile.
        rss_mb: resident memory, mebibytes.
        psnr_p1_db: first percentile of PSNR against the reference, None for the reference itself.
    """

    engine: str
    provider: str
    start_s: float
    ms_p50: float
    ms_p99: float
    paced_ms_p50: float
    paced_ms_p99: float
    fps: float
    cores: float
    busy_ms_p50: float
    busy_ms_p99: float
    rss_mb: float
    psnr_p1_db: float | None

    def row(self) -> tuple[str, ...]:
        """Table cells under `HEADINGS`."""
        quality = "" if self.psnr_p1_db is None else f"{self.psnr_p1_db:.1f}"
        times = (self.ms_p50, self.ms_p99, self.paced_ms_p50, self.paced_ms_p99)
        return (
            self.engine,
            f"{self.start_s:.2f}",
            *map(_ms, times),
            f"{self.fps:.1f}",
            f"{self.cores:.2f}",
            _ms(self.busy_ms_p50),
            _ms(self.busy_ms_p99),
            f"{self.rss_mb:.0f}",
            quality,
        )


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def bench_engines(
    character: Path, candidates: Sequence[Candidate], settings: EngineSettings, frames: int
) -> list[EngineFigures]:
    """Measure engines against each other, each in its own process, in turns.

    Args:
        character: the file to play.
        candidates: what to measure; ONNX Runtime in fp32 joins them as the quality reference.
        settings: threads and profile for all.
        frames: pictures per measurement.

    Raises:
        EngineError: one of them failed.
    """
    reference = Candidate("onnxruntime", "fp32")
    listed = list(dict.fromkeys([*candidates, reference]))
    with contextlib.ExitStack() as stack:
        lanes = [stack.enter_context(Lane(character, each, settings)) for each in listed]
        for _ in range(max(1, frames // _ROUND)):
            for lane in lanes:
                lane.burst(min(_ROUND, frames))
        paced = [lane.paced(frames) for lane in lanes]
        with _competing_load():
            busy = [lane.paced(frames) for lane in lanes]
        wanted = lanes[listed.index(reference)].pictures()
        out = []
        for lane, rest, loaded in zip(lanes, paced, busy, strict=True):
            same = lane.candidate == reference
            out.append(
                EngineFigures(
                    engine=str(lane.candidate),
                    provider=lane.provider,
                    start_s=lane.start_s,
                    ms_p50=round(float(np.percentile(lane.times_ms, 50)), 2),
                    ms_p99=round(float(np.percentile(lane.times_ms, 99)), 2),
                    paced_ms_p50=rest["p50"],
                    paced_ms_p99=rest["p99"],
                    fps=rest["fps"],
                    cores=rest["cores"],
                    busy_ms_p50=loaded["p50"],
                    busy_ms_p99=loaded["p99"],
                    rss_mb=lane.rss_mb(),
                    psnr_p1_db=None if same else round(float(np.percentile(psnr_db(lane.pictures(), wanted), 1)), 2),
                )
            )
    return out


@contextlib.contextmanager
def _competing_load() -> Iterator[None]:
    """A process that computes for 6 of every 10 ms, like a game's main thread."""
    busy = "import time\nwhile True:\n e = time.perf_counter() + 0.006\n while time.perf_counter() < e: pass\n"
    with subprocess.Popen([sys.executable, "-c", busy + " time.sleep(0.004)"]) as process:
        try:
            yield
        finally:
            process.kill()


def bench_batches(engine: Engine) -> list[Figure]:
    """Time several pictures in one call: milliseconds per picture, and whether one call beats several."""
    about = engine.description
    figures = []
    for count in (1, 4, 8):
        w = np.zeros((count, about.sizes.w_dim), np.float32)
        controls = np.zeros((count, about.sizes.num_controls), np.float32)
        out = np.empty((count, about.sizes.height, about.sizes.width, 4), np.uint8)
        times = []
        for _ in range(12):
            begun = now_ns()
            engine.infer(w, controls, out)
            times.append((now_ns() - begun) / 1e6 / count)
        figures.append(figure(f"batch_{count}_ms_each", float(np.median(times[2:]))))
    return [*figures, figure("together_pays", float(pays_together(engine, 4)))]


def bench_loop(role: Role, engine: Engine, *, frames: int = 200) -> list[Figure]:
    """Time whole ticks of the stage, and their cost besides inference."""
    performer = Performer(role, engine, open_drivers([], role.idle))
    stage = Stage([performer])
    ticks, others = np.empty(frames), np.empty(frames)
    for index in range(frames):
        begun = now_ns()
        stage.tick(begun)
        took = now_ns() - begun
        ticks[index] = took / 1e6
        others[index] = (took - performer.last_engine_ns) / 1e6
    return [
        figure("engine_ms_p50", performer.engine_times.percentile_ms(50)),
        figure("engine_ms_p99", performer.engine_times.percentile_ms(99)),
        figure("tick_ms_p50", float(np.percentile(ticks, 50))),
        figure("tick_ms_p99", float(np.percentile(ticks, 99))),
        figure("other_ms_p50", float(np.percentile(others, 50))),
    ]


def bench_transport(role: Role, engine: Engine, *, frames: int = 120) -> list[Figure]:
    """Time a frame's way from the publisher to a subscriber in another thread, over tcp on this machine.

    Raises:
        EngineError: no frame arrived.
    """
    performer = Performer(role, engine, open_drivers([], role.idle), stream="bench")
    stage = Stage([performer])
    ages: list[float] = []
    done = threading.Event()
    with (
        Publisher("tcp://127.0.0.1:0", stream="bench", session=0) as publisher,
        Subscriber(publisher.endpoint, stream="bench") as subscriber,
    ):

        def receive() -> None:
            while not done.is_set():
                frame = subscriber.wait(0.05)
                if frame is not None:
                    ages.append((now_ns() - frame.publish_ns) / 1e6)

        thread = threading.Thread(target=receive, name="bunraku-bench", daemon=True)
        thread.start()
        deadline = now_ns() + 5_000_000_000
        while not publisher.has_subscribers and now_ns() < deadline:
            done.wait(0.01)
        for _ in range(frames):
            publisher.publish(stage.tick(now_ns())[0])
            done.wait(0.008)
        done.set()
        thread.join()
    if not ages:
        raise EngineError("No frame came through on 127.0.0.1. Check for a firewall that blocks local connections.")
    return [
        figure("transport_ms_p50", float(np.percentile(ages, 50))),
        figure("transport_ms_p99", float(np.percentile(ages, 99))),
    ]


def bench_start(arguments: list[str]) -> list[Figure]:
    """Start `bunraku live` as its own process and measure its time to the first frame and its memory.

    Args:
        arguments: what to play, as on the command line.

    Raises:
        EngineError: the process failed.
    """
    command = [sys.executable, "-m", "runtime.cli", "live", *arguments, "--no-window", "--seconds", "3", "--json"]
    command += ["--publish", "off", "--control", "off"]
    root = Path(__file__).parent.parent
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=root)
    if ended.returncode != 0:
        raise EngineError(f"`bunraku live` failed: {ended.stderr.strip()[-400:]}")
    report: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return [
        figure("first_frame_s", float(report["first_frame_s"])),
        figure("rss_mb", float(report["rss_mb"])),
        figure("fps", float(report["fps"])),
        figure("interval_error_ms_p99", float(report["interval_error_ms_p99"])),
    ]
