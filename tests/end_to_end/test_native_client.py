"""The native client: built by CMake, its own tests, and its programs against a real producer in Python.

`BUNRAKU_NATIVE_BUILD` names an existing build folder to use instead of a fresh one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine_bridge.avf.messages import ControlSpec, ControlState, ExpressionSpec, StreamInfo
from engine_bridge.frame import Frame
from engine_bridge.producer.control_server import ControlServer
from engine_bridge.producer.publisher import Publisher
from tests.conftest import REPOSITORY

BUILD_TIMEOUT_S = 500
VISEMES = ("aa", "ih", "ou", "ee", "oh")
CONTROLS = (*VISEMES, "gazeYaw", "headYaw")

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="built here by the preset linux-release only"),
]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder of the preset linux-release, made once."""
    for tool in ("cmake", "ctest", "ninja", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not any(Path(folder, "zmq.h").exists() for folder in ("/usr/include", "/usr/local/include")):
        pytest.skip("libzmq's header is not installed; on Debian: apt-get install libzmq3-dev")
    given = os.environ.get("BUNRAKU_NATIVE_BUILD")
    folder = Path(given) if given else tmp_path_factory.mktemp("native")
    run("cmake", "--preset", "linux-release", "-B", str(folder))
    run("cmake", "--build", str(folder), "--parallel", "2")
    return folder


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


class Character:
    """A producer in a thread: 32 by 24 pixels that hold the frame's number, and every received state."""

    def __init__(self, *, shared_memory: bool) -> None:
        info = StreamInfo(
            session=11,
            stream="npc",
            character="Aki",
            width=32,
            height=24,
            fps=60.0,
            controls=[ControlSpec(name, -90.0, 90.0, 0.0) for name in CONTROLS],
            expressions=[ExpressionSpec(name) for name in ("happy", "relaxed", "surprised")],
        )
        self.states: list[ControlState] = []
        self._server = ControlServer("tcp://127.0.0.1:0", info)
        self._publisher = Publisher(
            "tcp://127.0.0.1:0",
            stream="npc",
            session=11,
            control_endpoint=self._server.endpoint,
            shared_memory=shared_memory,
        )
        self.endpoint = self._publisher.endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        with self._publisher, self._server:
            number = 0
            newest = ControlState()
            while not self._stop.wait(1 / 120):
                state = self._server.poll()
                if state is not None:
                    self.states.append(state)
                    newest = state
                number += 1
                now_ns = time.perf_counter_ns()
                self._publisher.publish(
                    Frame(
                        pixels=np.full((24, 32, 4), number % 256, np.uint8),
                        frame_id=number,
                        session=11,
                        stream="npc",
                        capture_ns=now_ns,
                        render_start_ns=now_ns,
                        publish_ns=0,
                        control_id=newest.control_id,
                        control_timestamp_ns=newest.timestamp_ns,
                        provider="synthetic",
                    )
                )

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def playing(*, shared_memory: bool = True) -> Iterator[Character]:
    character = Character(shared_memory=shared_memory)
    try:
        yield character
    finally:
        character.close()


def test_the_librarys_own_tests_pass(build: Path) -> None:
    told = run("ctest", "--test-dir", str(build), "--output-on-failure", "-R", "native")
    assert "100% tests passed" in told


@pytest.mark.parametrize(("shared_memory", "encoding"), [(True, "shm"), (False, "raw")])
def test_frames_arrive_whole_and_young(build: Path, shared_memory: bool, encoding: str) -> None:
    program = build / "engine_bridge" / "native" / "examples" / "frames"
    with playing(shared_memory=shared_memory) as character:
        told = run(str(program), character.endpoint, "60")
    lines = re.findall(r"npc frame (\d+), 32x24 as (\w+), .* pixel in the middle (\d+) (\d+) (\d+) (\d+)", told)
    assert len(lines) == 60, told
    numbers = [int(line[0]) for line in lines]
    assert numbers == sorted(set(numbers))
    assert all([int(value) for value in line[2:]] == [int(line[0]) % 256] * 4 for line in lines)
    assert lines[-1][1] == encoding
    assert "live: 60 shown" in told


def test_the_talking_npc_speaks_and_hears_the_echo(build: Path) -> None:
    program = build / "engine_bridge" / "native" / "examples" / "talking_npc"
    with playing() as character:
        told = run(str(program), character.endpoint, "[happy] Aaaaah, oooooh! [] Eeeeem.")
        states = list(character.states)
    assert "Aki says:" in told
    answered = re.search(r"(\d+) frames, motion to photon (\d+) ms", told)
    assert answered, told
    assert int(answered[1]) > 5
    assert int(answered[2]) < 2000, "a state's own time does not come back"
    assert all(state.control_id > 0 and state.timestamp_ns > 0 for state in states)
    spoken = [state for state in states if state.controls]
    widest = [
        max(VISEMES, key=state.controls.__getitem__)
        for state in spoken
        if max(state.controls[name] for name in VISEMES) > 0.6
    ]
    order = [name for index, name in enumerate(widest) if index == 0 or name != widest[index - 1]]
    assert order == ["aa", "oh", "ee"]
    assert spoken[0].expression == "happy"
    assert states[-1].controls == {}
    assert states[-1].expression == ""
    for state in spoken:
        assert state.controls["headYaw"] == pytest.approx(state.controls["gazeYaw"] / 3, abs=1e-4)


def test_the_age_benchmark_prints_one_line_of_json(build: Path) -> None:

    program = build / "engine_bridge" / "native" / "examples" / "native_age"
    with playing() as character:
        told = json.loads(run(str(program), character.endpoint, "60", "1"))
    assert told["shown"] > 0
    assert told["bad"] == 0
    assert told["age_take_ms_p50"] > 0


def test_a_program_without_a_character_says_what_to_start(build: Path, tcp_endpoint: str) -> None:
    program = build / "engine_bridge" / "native" / "examples" / "talking_npc"
    done = subprocess.run([program, tcp_endpoint], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "bunraku live" in done.stderr
