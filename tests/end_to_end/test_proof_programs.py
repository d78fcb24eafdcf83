"""The recovery and load benchmarks: small runs of them, judged by counts, not by times."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bunraku_program import ENVIRONMENT, last_line
from tests.conftest import RunProgram


def benchmark(run_program: RunProgram, repository: Path, name: str, *arguments: str) -> str:
    ended = run_program(
        [sys.executable, repository / "benchmarks" / name, *arguments],
        environment={"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_frames_flow_again_after_every_kill_and_nothing_is_left(
    run_program: RunProgram, repository: Path, transport: str
) -> None:
    if transport == "ipc" and sys.platform == "win32":
        pytest.skip("no ipc:// in pyzmq's wheels for Windows")
    told = last_line(benchmark(run_program, repository, "restarts.py", "--restarts", "10", "--transport", transport))
    [everything] = [row for row in told["rows"] if row["killed"] == "all"]
    assert (everything["times"], everything["never"]) == (10, 0)
    if Path("/dev/shm").is_dir():
        assert told["rings_at_most"] >= 1  # so that one left behind would have been counted
    assert told["left_behind"] == {"shared_memory": [], "places": [], "ipc": []}


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be stopped here")
def test_bad_subscribers_do_not_keep_frames_from_a_good_one(run_program: RunProgram, repository: Path) -> None:
    told = last_line(benchmark(run_program, repository, "consumers.py", "--seconds", "2", "--side", "64"))
    good, bad = told["rows"]
    assert (len(good["crowd"]), len(bad["crowd"]), good["kills"]) == (8, 8, 0)
    assert bad["kills"] >= 1
    assert min(good["good_one_took"], bad["good_one_took"], good["fps"], bad["fps"]) > 0
