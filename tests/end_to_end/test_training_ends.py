"""The trainer as a program that is killed and resumed, interrupted, diverges or runs out of room."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.conftest import RunProgram
from tests.training_runs import ENVIRONMENT, TRAIN, draw_tiny_cast
from training.loop import fit
from training.recipe import load_recipe


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a small drawn data set."""
    return draw_tiny_cast(tmp_path_factory.mktemp("training"))


def _weights(path: Path) -> dict[str, torch.Tensor]:
    networks = torch.load(path, weights_only=True)["networks"]
    return {f"{net}.{name}": tensor for net, state in networks.items() for name, tensor in state.items()}


def _wait_for_checkpoints(process: subprocess.Popen[bytes], path: Path, count: int) -> None:
    """Return when the file has been replaced `count` times; fail if the process ends before."""
    last = path.stat().st_mtime_ns if path.exists() else 0
    while count:
        assert process.poll() is None, "the run ended before it could be killed"
        now = path.stat().st_mtime_ns if path.exists() else 0
        count, last = count - (now != last), now
        time.sleep(0.002)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.usefixtures("one_thread")
def test_a_stopped_or_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (8 * 8, 8 * 8, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(noise).save(tmp_path / "pictures" / "sheet.png")
    small = (
        f"data.path={tmp_path / 'pictures'}",
        "data.cell_px=8",
        "model.widths=[16,32]",
        "stage=[{kimg=3.2,size_px=8,batch=8}]",
        "checkpoint_steps=20",
        "sheet_kimg=0",
    )
    command = [*TRAIN, "fit", "dense", "--threads", "1", *(word for setting in small for word in ("--set", setting))]
    environment = {**os.environ, **ENVIRONMENT}
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    for checkpoints, ending in ((3, signal.SIGKILL), (4, signal.SIGTERM), (2, signal.SIGHUP)):
        process = subprocess.Popen(
            [*command, "--out", "killed"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
        )
        _wait_for_checkpoints(process, checkpoint, checkpoints)
        process.send_signal(ending)
        assert process.wait(60) == (-ending if ending == signal.SIGKILL else 128 + ending)
    assert 0 < torch.load(checkpoint, weights_only=True)["position"]["step"] < 400
    for run in ("killed", "unharmed"):
        fit(load_recipe("dense", small), tmp_path / run, console=Console(file=io.StringIO()))
    unharmed, resumed = _weights(tmp_path / "unharmed" / "final.pt"), _weights(tmp_path / "killed" / "final.pt")
    assert unharmed.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in unharmed.items())


def test_a_run_has_its_folder_to_itself_and_ctrl_c_saves_and_says_how_to_go_on(place: Path) -> None:
    command = [*TRAIN, "fit", "tiny", "--out", "interrupted", "--threads", "1", "--set", "stage.0.kimg=100"]
    command += ["--set", "checkpoint_steps=2"]
    process = subprocess.Popen(
        command, cwd=place, env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (place / "interrupted" / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.05)
    second = subprocess.run(
        command, cwd=place, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, timeout=120, check=False
    )
    assert second.returncode == 1, second.stderr
    assert "Another process is training in interrupted" in second.stderr
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command resumes from here" in errors
    assert "Traceback" not in errors
    assert torch.load(place / "interrupted" / "checkpoint.pt", weights_only=True)["position"]["step"] > 0


def test_a_run_that_diverges_stops_and_leaves_a_checkpoint_to_begin_from(place: Path, run_program: RunProgram) -> None:
    command = [*TRAIN, "fit", "tiny", "--threads", "1", "--set", "stage.0.kimg=0.02"]
    steep = ["--set", "stage.0.warmup_kimg=0", "--set", "stage.0.lr=1e30", "--set", "stage.0.lr_end=1e30"]
    run = run_program([*command, "--out", "steep", *steep], cwd=place, environment=ENVIRONMENT)
    assert run.returncode == 1, run.stderr
    said = " ".join(run.stderr.split())
    for words in ("stage 1, step", "not finite", "--set start.checkpoint=steep/checkpoint.pt", "--set stage.0.lr="):
        assert words in said
    assert "done" not in run.stderr
    assert "Traceback" not in run.stderr
    assert not (place / "steep" / "final.pt").exists()
    assert all(tensor.isfinite().all() for tensor in _weights(place / "steep" / "checkpoint.pt").values())
    again = ["--out", "gentle", "--set", "start.checkpoint=steep/checkpoint.pt", "--set", "stage.0.lr=1e-3"]
    run = run_program([*command, *again], cwd=place, environment=ENVIRONMENT)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(place: Path, run_program: RunProgram) -> None:
    command = [*TRAIN, "fit", "tiny", "--out", "full", "--threads", "1", "--set", "checkpoint_steps=5"]
    short = [*command, "--set", "stage.0.kimg=0.02"]
    limited = f"ulimit -f 64; exec {' '.join(short)}"
    run = run_program(["bash", "-c", limited], cwd=place, environment=ENVIRONMENT)
    assert run.returncode == 1, run.stderr
    assert "checkpoint.pt" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list((place / "full").glob(".*.part*"))
