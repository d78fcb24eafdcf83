"""A producer on one machine and its clients on another: two network namespaces of this kernel, joined by a cable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.bunraku_program import BUNRAKU, CARD, ENVIRONMENT
from tests.conftest import RunProgram

PRODUCER, CLIENT = "10.213.77.1", "10.213.77.2"
WATCH = """
import json, sys, time
from pathlib import Path
from engine_bridge import ControlClient, ControlState, LinkState, Subscriber
from engine_bridge.access.keys import read_client_keys
keys = read_client_keys(Path(sys.argv[2])) if len(sys.argv) > 2 else None
told = {}
with Subscriber(sys.argv[1], keys=keys) as subscriber:
    deadline = time.monotonic() + 60
    while subscriber.state not in (LinkState.LIVE, LinkState.ERROR) and time.monotonic() < deadline:
        time.sleep(0.01)
    frame = subscriber.wait(60) if subscriber.state is LinkState.LIVE else None
    told = {"state": subscriber.state.name, "error": subscriber.last_error, "side": frame and frame.pixels.shape[0]}
    while frame and not subscriber.control_endpoint and time.monotonic() < deadline:
        time.sleep(0.01)
    if frame:
        with ControlClient(subscriber.control_endpoint, keys=keys) as client:
            told |= {"control": client.endpoint, "welcomed": client.wait_for_info(60) is not None}
print(json.dumps(told))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)


@pytest.fixture
def machines() -> Iterator[tuple[list[str], list[str]]]:
    """Prefix for a command that is to run on the producer's or the client's machine."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("network namespaces need root on Linux")
    names = [f"bunraku-{end}-{os.getpid()}" for end in ("producer", "client")]
    made = []
    try:
        try:
            for name in names:
                ip("netns", "add", name)
                made.append(name)
            ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
            for name, address in zip(names, (PRODUCER, CLIENT), strict=True):
                ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "link", "set", "cable", "up")
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"network namespaces cannot be created here: {error}")
        yield ["ip", "netns", "exec", names[0]], ["ip", "netns", "exec", names[1]]
    finally:
        for name in made:
            ip("netns", "delete", name)


def watch(run_program: RunProgram, on: Sequence[str], *keys: Path) -> dict[str, Any]:
    """What a subscriber sees on that machine."""
    command = [*on, sys.executable, "-c", WATCH, f"tcp://{PRODUCER}:5760", *keys]
    ended = run_program(command, environment={"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]})
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


@pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq was built without CURVE")
def test_other_machine_watches_and_steers_with_its_key_only(
    machines: tuple[list[str], list[str]], run_program: RunProgram, tmp_path: Path
) -> None:
    here, there = machines
    folder = tmp_path / "keys"
    environment = {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    for words in (["init", str(folder)], ["add", "laptop", str(folder)]):
        assert run_program([*BUNRAKU, "keys", *words], cwd=tmp_path, environment=environment).returncode == 0
    endpoints = ["--publish", f"tcp://{PRODUCER}:5760", "--control", "tcp://0.0.0.0:5761"]
    command = [*here, *BUNRAKU, *CARD, *endpoints, "--keys", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as live:
        try:
            assert live.stdout is not None
            said = [live.stdout.readline(), live.stdout.readline()]
            assert f"frames tcp://{PRODUCER}:5760" in said[1], (said, live.poll() is None or live.communicate())
            with_key = watch(run_program, there, tmp_path / "laptop.client.toml")
            assert with_key["state"] == "LIVE"
            assert with_key["side"]
            assert (with_key["control"], with_key["welcomed"]) == (f"tcp://{PRODUCER}:5761", True)
            without = watch(run_program, there)
            assert (without["state"], without["side"]) == ("ERROR", None)
            assert "bunraku keys add" in without["error"]
        finally:
            live.terminate()
            live.communicate(timeout=30)
