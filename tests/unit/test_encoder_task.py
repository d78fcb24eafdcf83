"""The encoder as a task: a small run after a small run of the portrait generator."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from tests.training_runs import check_that_it_goes_on
from training.animator import chain
from training.animator.fitting import fitted
from training.animator.task import AnimatorTask
from training.cast import write_dataset
from training.cli import app
from training.encoder.task import EncoderTask
from training.errors import CheckpointError, RecipeError
from training.layers import unit_size
from training.loop import fit
from training.pictures import planar
from training.portrait.task import PortraitTask
from training.recipe import load_recipe
from training.runs import open_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data, and a run of the portrait generator on it."""
    folder = tmp_path_factory.mktemp("data")
    write_dataset(
        folder / "layers",
        identities=8,
        frames_per_identity=3,
        named_frames=0,
        size_px=256,
        seed=4,
        layers=True,
        workers=2,
    )
    small = ("w_dim=8", "memories=2", "memory=2", "warps=1", "channels=4", "blocks=1", "paints=2", "code_dim=4")
    settings = (
        f"data.path={folder / 'layers'}",
        "data.holdout_identities=0.3",
        *(f"model.{each}" for each in small),
        "precision=32-true",
        "mapping_steps=2",
        "sheet_kimg=0",
        "stage=[{kimg=0.004,size_px=64,batch=4}]",
    )
    fit(load_recipe("portrait", settings), folder / "portrait", workers=2, console=Console(file=io.StringIO()))
    return folder / "layers", folder / "portrait"


@pytest.fixture(scope="module")
def settings(portrait: tuple[Path, Path]) -> tuple[str, ...]:
    data, run = portrait
    return (
        f"data.path={data}",
        "data.holdout_identities=0.3",
        f"start.checkpoint={run / 'final.pt'}",
        "model.w_dim=8",
        "model.channels=[16,16,16,16]",
        "model.blocks=[0,1,1,0]",
        "precision=32-true",
        "ema_kimg=0.02",
        "checkpoint_steps=20",
        "stage=[{kimg=0.1,size_px=64,batch=8,lr=2e-3,warmup_kimg=0},{kimg=0.9,size_px=128,batch=8,lr=2e-3}]",
    )


@pytest.fixture(scope="module")
def finished(settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    fit(load_recipe("encoder", settings), run, workers=2, console=Console(file=io.StringIO()))
    return run


def test_people_are_told_apart_as_the_portrait_generator_has_them(
    finished: Path, portrait: tuple[Path, Path], tmp_path: Path
) -> None:
    task, generator = open_run(finished), open_run(portrait[1])
    assert isinstance(task, EncoderTask)
    assert torch.equal(task.known.out.weight, generator.known.out.weight)  # type: ignore[attr-defined]
    report = task.evaluate(tmp_path, frames=8, at_px=None, note=print)
    assert report["unseen_people"]["pictures"] >= 3
    assert report["unseen_people"]["of_people"] == 8
    trained = task.split.train
    pictures = torch.from_numpy(task.dataset.pictures[trained]).permute(0, 3, 1, 2).float() / 255
    found = task.encode(pictures)
    assert torch.allclose(found.square().mean(1), torch.ones(len(found)), atol=1e-3)
    everybody = task.known(torch.arange(8))
    right = torch.cdist(found, everybody).argmin(1).numpy() == task.dataset.identity[trained]
    assert right.mean() > 0.7  # by chance an eighth
    assert [path.name for path in tmp_path.glob("*.png")] == ["nearest.png"]


@pytest.fixture(scope="module")
def animator(portrait: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("animator") / "run"
    settings = (
        f"data.path={portrait[0]}",
        "data.holdout_identities=0.3",
        *("model.reader=[8,8,8,8]", "model.channels=[4,4,4]", "model.blocks=[1,1,1]", "model.planes_px=64"),
        "precision=32-true",
        "sheet_kimg=0",
        "stage=[{kimg=0.004,size_px=256,batch=2,frames=2}]",
    )
    fit(load_recipe("animator", settings), run, workers=2, console=Console(file=io.StringIO()))
    return run


def test_the_whole_chain_goes_from_one_picture_to_that_person_moved(
    animator: Path, finished: Path, portrait: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "PEOPLE", 2)
    monkeypatch.setattr(chain, "STEPS", 1)
    out = tmp_path / "evaluation"
    runs = ["--encoder", str(finished), "--portrait", str(portrait[1]), "--fit", "2"]
    done = CliRunner().invoke(app, ["evaluate", str(animator), "--out", str(out), "--frames", "8", *runs])
    assert done.exit_code == 0, done.output
    report = json.loads((out / "report.json").read_text())
    assert 2 <= report["whole_chain"]["frames"] <= 8
    assert report["whole_chain"]["ours"]["psnr_median_db"] > 5
    assert report["whole_chain"]["fit_steps"] == 2
    assert report["whole_chain"]["fitted"]["psnr_median_db"] > 5
    drift = report["identity_drift"]
    assert drift["ratio"] > 0
    assert drift["pairs"] >= report["whole_chain"]["frames"]
    assert drift["standard_error"] >= 0
    assert drift["moved"] > 0 < drift["real"]
    assert abs(drift["from_moving"]) < max(drift["moved"], drift["real"])
    assert (out / "whole_chain.png").exists()
    assert (out / "whole_chain_fitted.png").exists()
    assert f"real pictures in the same poses: {drift['from_moving']:+.3f}" in done.output


def test_a_fitted_latent_draws_what_was_shown_better_than_the_guess(
    animator: Path, portrait: tuple[Path, Path]
) -> None:
    task, drawing = open_run(animator), open_run(portrait[1])
    assert isinstance(task, AnimatorTask)
    assert isinstance(drawing, PortraitTask)
    shown = planar(task.dataset.pictures[np.arange(5)], torch.device("cpu"))
    controls = torch.from_numpy(task.dataset.controls[np.arange(5)])
    guess = unit_size(torch.randn(5, drawing.recipe.model.w_dim, generator=torch.Generator().manual_seed(1)))
    before = [copy.deepcopy(network.state_dict()) for network in (task.animator_ema, drawing.portrait_ema)]
    found = fitted(task, drawing, shown, controls, guess, steps=6, at_once=2)
    assert found.shape == guess.shape
    assert torch.allclose(found.square().mean(1), torch.ones(5), atol=1e-4)
    with torch.no_grad():
        errors = [
            (task.moved(drawing.drawn(w, shown.shape[-1]), controls) - shown).abs().mean() for w in (guess, found)
        ]
    assert errors[1] < errors[0]
    for network, old in zip((task.animator_ema, drawing.portrait_ema), before, strict=True):
        assert all(torch.equal(weights, old[name]) for name, weights in network.state_dict().items())


def test_runs_that_do_not_belong_together_are_refused(
    animator: Path, finished: Path, portrait: tuple[Path, Path], tmp_path: Path
) -> None:
    task, seeing, drawing = open_run(animator), open_run(finished), open_run(portrait[1])
    assert isinstance(task, AnimatorTask)
    assert isinstance(seeing, EncoderTask)
    assert isinstance(drawing, PortraitTask)
    held = task.split
    for run in (seeing, drawing):
        own, run.split = run.split, replace(held, train=held.unseen_identities)
        with pytest.raises(CheckpointError, match=f"The run {run.recipe.name} was trained on people"):
            chain.evaluate_chain(task, seeing, drawing, tmp_path, frames=8, note=print)
        run.split = own
    with torch.no_grad():
        drawing.known.out.weight += 1
    with pytest.raises(CheckpointError, match="latents of another portrait generator"):
        chain.evaluate_chain(task, seeing, drawing, tmp_path, frames=8, note=print)
    for options, words in (
        (["--portrait", str(portrait[1])], "--portrait needs --encoder"),
        (["--encoder", str(finished), "--fit", "2"], "--fit needs --portrait"),
        (["--encoder", str(portrait[1])], "name runs of the tasks encoder"),
    ):
        done = CliRunner().invoke(app, ["evaluate", str(animator), "--out", str(tmp_path), "--frames", "8", *options])
        assert words in " ".join(str(done.exception).split())


def test_a_run_goes_on_where_it_was_stopped_and_ends_the_same(
    finished: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    check_that_it_goes_on("encoder", settings, finished, tmp_path / "run")


def test_what_it_begins_with_must_be_a_portrait_generator_of_the_same_people(
    finished: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    wider = load_recipe("encoder", (*settings, "model.w_dim=16"))
    with pytest.raises(CheckpointError, match="no latents of 16 numbers from attributes"):
        fit(wider, tmp_path / "run", workers=1, console=Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("override", "words"),
    [("stage=[{kimg=1,size_px=96}]", "power of two"), ('stage=[{kimg=1,size_px=64,objectives=["x"]}]', "Invalid enum")],
)
def test_recipes_that_cannot_work_are_refused(override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("encoder", (override,))


def test_a_recipe_without_a_portrait_generator_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "lonely.toml"
    recipe.write_text('name = "lonely"\ntask = "encoder"\n[data]\npath = "x"\n[[stage]]\nkimg = 1\nsize_px = 64\n')
    with pytest.raises(RecipeError, match=r"\[start\] is missing: name the checkpoint of the portrait generator"):
        load_recipe(str(recipe), ())
