"""The GPU benchmark runs to its end on the processor, and reports a missing GPU."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import REPOSITORY, RunProgram

pytest.importorskip("torch")
PROGRAM = REPOSITORY / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_it_measures_every_row_and_ends_with_one_json_line(run_program: RunProgram) -> None:
    words = ["--device", "cpu", "--frames", "3", "--sizes", "256", "--batches", "1", "2"]
    done = run_program([sys.executable, PROGRAM, *words], environment={"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "gpu"
    assert found["device"] == "cpu"
    assert len(found["rows"]) == 8
    for row in found["rows"]:
        assert row["ms_per_frame"] * row["batch"] == pytest.approx(row["p50_ms"], abs=0.01)
        assert row["characters_at_30fps"] >= row["characters_at_60fps"]


def test_it_says_that_there_is_no_gpu(run_program: RunProgram) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = run_program([sys.executable, PROGRAM], environment={"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "no CUDA device here"
