"""The trainer as a program: data to character file, killed and resumed, interrupted, out of room."""

from __future__ import annotations

import io
import json
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

from runtime.character.file import Character
from tests.conftest import RunProgram
from tests.training_runs import check_that_it_goes_on
from training.loop import fit
from training.recipe import load_recipe

TRAIN = [sys.executable, "-m", "training.cli"]
# One thread: these networks are too small to share, and the machine may be busy.
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a small drawn data set."""
    folder = tmp_path_factory.mktemp("training")
    size = ["--size", "64", "--identities", "12", "--frames", "4", "--named-frames", "6", "--workers", "1"]
    command = [*TRAIN, "data", "cast", "--out", "datasets/tiny", *size]
    subprocess.run(command, cwd=folder, env={**os.environ, **ENVIRONMENT}, check=True, timeout=120, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A finished run."""
    command = [*TRAIN, "fit", "tiny", "--out", "whole", "--threads", "1"]
    subprocess.run(command, cwd=place, env={**os.environ, **ENVIRONMENT}, check=True, timeout=150, capture_output=True)
    return place / "whole"


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


@pytest.mark.usefixtures("one_thread")
def test_a_generator_goes_on_where_another_process_left_it(
    place: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)  # the recipe names its data from there
    check_that_it_goes_on("tiny", (), trained, tmp_path / "run")


def test_evaluate_sample_and_export_make_a_character_that_opens(
    place: Path, trained: Path, run_program: RunProgram
) -> None:
    run = run_program([*TRAIN, "evaluate", "whole", "--frames", "8", "--json"], cwd=place, environment=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["seen_identities"]["ours"]["psnr_median_db"] > 3
    assert report["unseen_identities"]["frames"] > 0
    assert (trained / "evaluation" / "seen_identities.png").is_file()

    run = run_program([*TRAIN, "sample", "whole", "--out", "sheets", "--json"], cwd=place, environment=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    sheets = json.loads(run.stdout.splitlines()[-1])["sheets"]
    assert {Path(sheet).name for sheet in sheets} >= {"identities.png", "sweep.png", "interpolation.png", "blink.png"}

    command = [*TRAIN, "export", "whole", "--out", "tiny.bunraku", "--no-refine"]
    run = run_program(command, cwd=place, environment=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    with Character.open(place / "tiny.bunraku") as character:
        assert next(iter(character.manifest.identities)) == "Aki"
        assert character.manifest.frame.width == 64
        assert {"generator.onnx", "mapping.onnx", "encoder.onnx", "report.json"} <= set(character.members)


def test_a_run_has_its_folder_to_itself_and_ctrl_c_saves_and_says_how_to_go_on(place: Path) -> None:
    command = [*TRAIN, "fit", "tiny", "--out", "interrupted", "--threads", "1", "--set", "stage.0.kimg=100"]
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
    assert "the same command goes on from here" in errors
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


def test_wrong_use_is_told_in_one_line(place: Path, trained: Path, run_program: RunProgram) -> None:
    for arguments, code, words in (
        (["fit", "nobody"], 1, "no recipe nobody"),
        (["fit", "tiny", "--set", "data.path=nowhere"], 1, "nowhere is not a data set"),
        (["fit", "tiny", "--out", "whole", "--set", "seed=2"], 1, "another recipe"),
        (["evaluate", "nowhere"], 1, "no checkpoint"),
        (["export", "whole/recipe.json", "--out", "x.bunraku"], 1, "not a readable checkpoint"),
        (["fit"], 2, "Usage"),
    ):
        run = run_program([*TRAIN, *arguments], cwd=place, environment=ENVIRONMENT)
        assert run.returncode == code, (arguments, run.stderr)
        assert words in " ".join(run.stderr.split()), (arguments, run.stderr)
        assert "Traceback" not in run.stderr
    assert (trained / "final.pt").is_file()


def test_dry_run_prints_the_resolved_recipe_without_torch(run_program: RunProgram, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "training.cli", "fit", "aki", "--dry-run", "--set", "seed=3"]
    run = run_program(command, cwd=tmp_path, environment=ENVIRONMENT)
    assert json.loads(run.stdout)["seed"] == 3
    assert " torch\n" not in run.stderr
