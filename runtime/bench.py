"""Measurements against the budget: engine, loop, transport, start-up, memory. Knows what to time, not how to print."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from engine_bridge.clock import now_ns
from engine_bridge.errors import EngineError
from engine_bridge.publisher import Publisher
from engine_bridge.subscriber import Subscriber

from .character import Role
from .drivers import open_drivers
from .engine import Engine
from .stage import Performer, Stage

# What the live loop is held to: a frame every 16.7 ms beside a game.
BUDGET: Final = {
    "engine_ms_p50": 10.0,
    "other_ms_p50": 1.0,
    "transport_ms_p50": 3.0,
    "first_frame_s": 1.5,
    "rss_mb": 250.0,
}


class Figure(msgspec.Struct, frozen=True):
    """One measurement.

    Attributes:
        name: what was measured; milliseconds, seconds or mebibytes by its ending.
        value: the figure.
        budget: the most it should be, None if there is no limit.
    """

    name: str
    value: float
    budget: float | None = None

    @property
    def good(self) -> bool:
        """Whether it keeps its budget."""
        return self.budget is None or self.value <= self.budget


def figure(name: str, value: float) -> Figure:
    """A measurement with its budget."""
    return Figure(name, round(value, 3), BUDGET.get(name))


def bench_engine(engine: Engine, *, frames: int = 200) -> list[Figure]:
    """Time the inference alone, with changing inputs so that nothing can be cached."""
    about = engine.description
    random = np.random.Generator(np.random.Philox(0))
    w = np.zeros((1, about.w_dim), np.float32)
    controls = np.zeros((1, about.num_controls), np.float32)
    out = np.empty((1, about.height, about.width, 4), np.uint8)
    times = np.empty(frames)
    for index in range(frames):
        w[0] = random.standard_normal(about.w_dim)
        controls[0] = random.uniform(0.0, 1.0, about.num_controls)
        begun = now_ns()
        engine.infer(w, controls, out)
        times[index] = (now_ns() - begun) / 1e6
    return [
        figure("engine_ms_p50", float(np.percentile(times, 50))),
        figure("engine_ms_p99", float(np.percentile(times, 99))),
    ]


def bench_loop(role: Role, engine: Engine, *, frames: int = 200) -> list[Figure]:
    """Time whole ticks of the stage, and what they cost besides the inference."""
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
        figure("tick_ms_p50", float(np.percentile(ticks, 50))),
        figure("tick_ms_p99", float(np.percentile(ticks, 99))),
        figure("other_ms_p50", float(np.percentile(others, 50))),
    ]


def bench_transport(role: Role, engine: Engine, *, frames: int = 120) -> list[Figure]:
    """Time the way of a frame from the publisher to a subscriber in another thread, over tcp on this machine.

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
        raise EngineError("No frame came through on 127.0.0.1. Look for a firewall that stops local connections.")
    return [
        figure("transport_ms_p50", float(np.percentile(ages, 50))),
        figure("transport_ms_p99", float(np.percentile(ages, 99))),
    ]


def bench_start(arguments: list[str]) -> list[Figure]:
    """Start `bunraku live` as its own process and read how long its first frame took and how much memory it holds.

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
