"""The trainer as a program: data to character file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.character.file import Character
from tests.conftest import RunProgram
from tests.training_runs import ENVIRONMENT, TRAIN, check_that_it_goes_on, draw_tiny_cast


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a small drawn data set."""
    return draw_tiny_cast(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A finished run."""
    command = [*TRAIN, "fit", "tiny", "--out", "whole", "--threads", "1"]
    subprocess.run(command, cwd=place, env={**os.environ, **ENVIRONMENT}, check=True, timeout=150, capture_output=True)
    return place / "whole"


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
