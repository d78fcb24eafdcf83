"""The bridge's examples and its benchmark run as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import REPOSITORY, RunProgram

EXAMPLES = REPOSITORY / "examples"
PATIENCE_S = 90.0


@pytest.fixture
def producer() -> Iterator[dict[str, Any]]:
    """A live loop in its own process; the value is its endpoints."""
    peer = Path(__file__).with_name("bridge_peer.py")
    command = [sys.executable, str(peer), "publish", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield json.loads(process.stdout.readline())
        process.kill()


def test_subscriber_example_prints_and_saves_frames(
    producer: dict[str, Any], run_program: RunProgram, tmp_path: Path
) -> None:
    command = [sys.executable, EXAMPLES / "10_subscriber" / "subscriber.py", producer["frames"], "5"]
    done = run_program(command, timeout_s=PATIENCE_S, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert "64x64" in done.stdout
    with Image.open(tmp_path / "frame.png") as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGBA")


def test_wave_example_moves_the_head(producer: dict[str, Any], run_program: RunProgram) -> None:
    command = [sys.executable, EXAMPLES / "11_control" / "wave.py", producer["control"], "1"]
    done = run_program(command, timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "Aki takes 2 controls: jawOpen, headYaw" in done.stdout


@pytest.mark.parametrize("name", ["10_subscriber/subscriber.py", "11_control/wave.py"])
def test_example_without_a_producer_says_what_to_start(name: str, run_program: RunProgram, tcp_endpoint: str) -> None:
    done = run_program([sys.executable, EXAMPLES / name, tcp_endpoint], timeout_s=PATIENCE_S)
    assert done.returncode == 1
    assert "bunraku live" in done.stderr


def test_latency_benchmark_reports_all_figures(run_program: RunProgram) -> None:
    command = [sys.executable, REPOSITORY / "benchmarks" / "latency.py", "--seconds", "0.5", "--sizes", "64"]
    done = run_program(command, timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout.splitlines()[-1])["rows"]
    figures = {"age_24hz_ms", "age_60hz_ms", "motion_to_photon_ms", "publish_ms", "cpu_ms_per_frame"}
    assert figures <= set(row)
    assert all(row["motion_to_photon_ms"])
