"""A live loop without a character for the Unity package to connect to, and what a game reports of it.

Knows publishers, control servers and requests; not what the package should do.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine_bridge import ControlServer, ControlSpec, ControlState, Frame, LiveStats, Publisher, StreamInfo
from engine_bridge.avf.messages import ExpressionSpec
from tests.unity.game import Game

PATIENCE_S = 60.0
CONTROLS = [
    ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth"),
    *(ControlSpec(name, -30.0, 30.0, 0.0, "head") for name in ("headYaw", "headPitch", "gazeYaw", "gazePitch")),
    *(ControlSpec(name, 0.0, 1.0, 0.0, "visemes") for name in ("aa", "ih", "ou", "ee", "oh")),
]
EXPRESSIONS = [ExpressionSpec(name) for name in ("happy", "relaxed", "surprised")]


class Producer(threading.Thread):
    """A live loop without a character: numbered frames of noise, and everything that clients ask for."""

    def __init__(
        self, frames: str = "tcp://127.0.0.1:0", *, fps: float = 60.0, size: tuple[int, int] = (64, 48)
    ) -> None:
        super().__init__(daemon=True)
        self.size = size
        self.hashes: dict[tuple[int, int], str] = {}
        self.pixels: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
        self.states: list[ControlState] = []
        self.silent = threading.Event()
        self._fps = fps
        self._stopped = threading.Event()
        self._publisher = Publisher(frames, stream="aki")
        self.session = self._publisher.session
        info = StreamInfo(
            session=self.session, stream="aki", character="Aki", width=64, height=48, fps=fps, controls=CONTROLS,
            identities=["Aki", "Ren"], expressions=EXPRESSIONS, has_mapping=True,
        )  # fmt: skip
        self._server = ControlServer("tcp://127.0.0.1:0", info, resend_last=self._publisher.resend_last)
        self._publisher.control_endpoint = self._server.endpoint
        self.endpoint = self._publisher.endpoint
        self.start()

    def run(self) -> None:
        generator = np.random.default_rng(7)
        frame_id = control_id = control_timestamp_ns = 0
        while not self._stopped.wait(1 / self._fps):
            if self.silent.is_set():
                continue
            state = self._server.poll()
            if state is not None:
                self.states.append(state)
                control_id, control_timestamp_ns = state.control_id, state.timestamp_ns
            frame_id += 1
            width, height = self.size
            pixels = generator.integers(0, 256, (height, width, 4), np.uint8)
            key = (self.session, frame_id)
            self.pixels[key] = pixels
            self.hashes[key] = hashlib.sha256(pixels.tobytes()).hexdigest()
            self._publisher.heartbeat(LiveStats(provider="noise", target_fps=self._fps))
            self._publisher.publish(Frame(pixels, frame_id, 0, "", 0, 0, 0, control_id, control_timestamp_ns, "noise"))

    def stop(self) -> None:
        """Say bye and free the ports."""
        self._stopped.set()
        self.join(PATIENCE_S)
        self._server.close()
        self._publisher.close()

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def tick_until(game: Game, condition: Callable[[dict[str, str]], object]) -> dict[str, str]:
    """Let the game run until its report fulfils the condition; return that report."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        game.ask("tick", 2, 2)
        report = game.ask("report")
        if condition(report):
            return report
        assert time.monotonic() < deadline, f"it never came true: {report}"


def state_of(game: Game, producer: Producer, condition: Callable[[ControlState], object]) -> ControlState:
    """Let the game run until the producer has a state that fulfils the condition; return it."""
    tick_until(game, lambda _: any(condition(state) for state in list(producer.states)))
    return next(state for state in producer.states if condition(state))


def has(key: str, value: str) -> Callable[[dict[str, str]], bool]:
    return lambda report: report.get(key) == value


def live(report: Mapping[str, str]) -> bool:
    return report["state"] == "Live" and "sha256" in report
