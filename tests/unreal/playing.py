"""The Unreal plugin in a game of its own process, and a live loop without a character that it connects to.

Knows the commands of `game.cpp` and what a producer sends; not what the plugin should do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine_bridge import ControlServer, ControlSpec, ControlState, Frame, Publisher, StreamInfo
from engine_bridge.access.keys import ServerKeys
from engine_bridge.avf.messages import ExpressionSpec, LiveStats, Provenance
from tests import unreal_build
from tests.native_build import native_library

VISEMES = ["aa", "ih", "ou", "ee", "oh"]
POSES = ["headYaw", "headPitch", "headRoll", "gazeYaw", "gazePitch"]
CONTROLS = [ControlSpec(name, 0.0, 1.0, 0.0, "mouth") for name in ["jawOpen", *VISEMES]]
CONTROLS += [ControlSpec(name, -30.0, 30.0, 0.0, "head") for name in POSES]
PATIENCE_S = 30.0
BGRA = [2, 1, 0, 3]
NOTHING_LEFT = {"ended": True, "leases": 0, "clients": 0, "textures": 0}


def fnv1a(data: bytes) -> str:
    """The hash that the game computes over a texture."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


class Producer:
    """A live loop without a character: random pictures, whose hashes it keeps, and every control state that came."""

    def __init__(
        self,
        frames: str = "tcp://127.0.0.1:0",
        control: str = "tcp://127.0.0.1:0",
        keys: ServerKeys | None = None,
    ) -> None:
        provenance = Provenance(ai=True, model="m", generator="test", source="CC0")
        self._publisher = Publisher(frames, stream="npc", provenance=provenance, keys=keys)
        self.session = self._publisher.session
        info = StreamInfo(
            session=self._publisher.session,
            stream="npc",
            character="Aki",
            width=24,
            height=16,
            fps=60.0,
            controls=CONTROLS,
            identities=["Aki", "Neko"],
            expressions=[ExpressionSpec("happy"), ExpressionSpec("relaxed"), ExpressionSpec("surprised")],
            has_mapping=True,
        )
        self._control = ControlServer(control, info, keys=keys)
        self._publisher.control_endpoint = self.control = self._control.endpoint
        self.frames = self._publisher.endpoint
        self.size = (24, 16)
        self.hashes: dict[int, tuple[str, str]] = {}  # frame id -> as RGBA, as BGRA
        self.states: list[ControlState] = []
        self._random = np.random.default_rng(3)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        frame_id = control_id = control_timestamp_ns = 0
        while not self._ending.wait(1 / 60):
            state = self._control.poll()
            if state is not None:
                self.states.append(state)
                control_id, control_timestamp_ns = state.control_id, state.timestamp_ns
            width, height = self.size
            pixels = self._random.integers(0, 256, (height, width, 4), np.uint8)
            frame_id += 1
            self.hashes[frame_id] = (fnv1a(pixels.tobytes()), fnv1a(pixels[..., BGRA].tobytes()))
            self._publisher.heartbeat(LiveStats(provider="test", fps=60.0))
            self._publisher.publish(Frame(pixels, frame_id, 0, "", 0, 0, 0, control_id, control_timestamp_ns, "test"))

    def wait_for_state(self, wanted: Any) -> ControlState:
        """The first state for which `wanted` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for state in list(self.states):
                if wanted(state):
                    return state
            time.sleep(0.02)
        raise AssertionError(f"no such state among {self.states}")

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._control.close()
        self._publisher.close()


@contextmanager
def producing(
    frames: str = "tcp://127.0.0.1:0", control: str = "tcp://127.0.0.1:0", keys: ServerKeys | None = None
) -> Iterator[Producer]:
    producer = Producer(frames, control, keys)
    try:
        yield producer
    finally:
        producer.close()


class Game:
    """The plugin in a process of its own; see tests/unreal/game.cpp for its commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []
        self.loaded: bool = self.hear("loaded")["loaded"]

    def tell(self, *commands: str) -> None:
        assert self._process.stdin
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()

    def hear(self, key: str) -> dict[str, Any]:
        """Read until something with this key is said."""
        assert self._process.stdout
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            self.said.append(said)
            if key in said:
                return said
        raise AssertionError(f"the game ended before it said {key}, with {self._process.wait()}")

    def ask(self, command: str, key: str) -> dict[str, Any]:
        self.tell(command)
        return self.hear(key)

    def run(self, seconds: float) -> list[dict[str, Any]]:
        """Tick; returns the pictures that reached a texture meanwhile."""
        before = len(self.said)
        self.ask(f"run {seconds}", "ran")
        return [said for said in self.said[before:] if "frame" in said]

    def run_until(self, wanted: Any) -> list[dict[str, Any]]:
        """Tick until something is said for which `wanted` holds; returns what was said meanwhile."""
        before = len(self.said)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.run(0.1)
            if any(wanted(said) for said in self.said[before:]):
                return self.said[before:]
        raise AssertionError(f"not said: {self.said[before:]}")

    def run_for(self, count: int) -> list[dict[str, Any]]:
        """Tick until so many pictures have reached a texture."""
        pictures: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(pictures) < count and time.monotonic() < deadline:
            pictures += self.run(0.1)
        assert len(pictures) >= count
        return pictures

    def run_till(self, holds: Callable[[], bool]) -> None:
        """Tick until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds() and time.monotonic() < deadline:
            self.run(0.1)
        assert holds()

    def hold_render_thread(self) -> None:
        """From now on updates stay in flight; returns when both textures wait for theirs."""
        self.tell("hold")
        self.run_till(lambda: self.report()["leases"] == 2)

    def report(self) -> dict[str, Any]:
        return self.ask("report", "leases")

    def quit(self) -> dict[str, Any]:
        """Shut down; the sanitizers must have nothing to say, leaks included."""
        self.tell("quit")
        ended = self.hear("ended")
        assert self._process.wait(PATIENCE_S) == 0
        return ended


def build_game(folder: Path, sanitizer: list[str]) -> Path:
    """The game on the real native client, which lies where the plugin looks for it."""
    library = native_library()
    beside = folder / "Plugin" / "Binaries" / "ThirdParty" / "BunrakuClient" / "Linux"
    beside.mkdir(parents=True)
    (beside / "libbunraku_client.so").symlink_to(library)
    return unreal_build.game_program(folder / "game", library, sanitizer)


@contextmanager
def playing(program: Path, **environment: str) -> Iterator[Game]:
    """Start the game; what it says to stderr, the sanitizers' words above all, is shown with a failure."""
    laid_over = {"STUB_PLUGIN_DIR": str(program.parent / "Plugin"), "ASAN_OPTIONS": "detect_leaks=1", **environment}
    # A file and not a pipe: nobody reads it while the game runs, and a full pipe would stop the game.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **laid_over},
        )
        try:
            yield Game(process)
        finally:
            process.kill()
            process.communicate()
            errors.seek(0)
            sys.stderr.write(errors.read())


def is_live(said: dict[str, Any]) -> bool:
    return said == {"event": "state", "state": "Live"}


def is_picture(said: dict[str, Any]) -> bool:
    return "frame" in said


def of_size(width: int, height: int) -> Any:
    return lambda said: is_picture(said) and (said["width"], said["height"]) == (width, height)
