"""The training loop in one process: non-finite steps, full disks, files from elsewhere."""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from rich.console import Console

from engine_bridge.errors import BunrakuError, SinkError
from training import curves
from training.cast import write_dataset
from training.decoder import trainer
from training.decoder.recipe import DecoderRecipe
from training.errors import CheckpointError, RecipeError, TrainingError
from training.latents.prior import fit_mapping
from training.loop import fit
from training.recipe import load_recipe
from training.runs import exporting, open_run
from training.task import Position

STEPS = 12
Terms = tuple[torch.Tensor, torch.Tensor]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> DecoderRecipe:
    """Twelve steps at 16 px."""
    data = tmp_path_factory.mktemp("data") / "cast"
    write_dataset(data, identities=6, frames_per_identity=4, named_frames=0, size_px=32, seed=5, workers=1)
    tiny = load_recipe("tiny")
    assert isinstance(tiny, DecoderRecipe)
    stage = msgspec.structs.replace(tiny.stage[0], size_px=16, kimg=STEPS * 4 / 1000, warmup_kimg=0.0)
    model = msgspec.structs.replace(tiny.model, channels=(8,), blocks=(1,), w_dim=8, code_dim=16)
    small = {"stage": (stage,), "model": model, "checkpoint_steps": 2, "mapping_steps": 2}
    return msgspec.structs.replace(tiny, data=msgspec.structs.replace(tiny.data, path=str(data)), **small)


@pytest.fixture(scope="module")
def finished(recipe: DecoderRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    fit(recipe, run, workers=1, console=Console(file=io.StringIO()))
    return run


def spoil(monkeypatch: pytest.MonkeyPatch, bad: Callable[[int], bool]) -> None:
    """Make the loss of some steps infinite, while its gradient, a sign, stays finite."""
    plain, calls = trainer.reconstruction_loss, iter(range(1000))

    def loss(*args: Any, **options: Any) -> Terms:
        value, terms = plain(*args, **options)
        return (value + float("inf") if bad(next(calls)) else value), terms

    monkeypatch.setattr(trainer, "reconstruction_loss", loss)


def train(recipe: DecoderRecipe, run: Path) -> str:
    """Train, and return the output."""
    said = io.StringIO()
    fit(recipe, run, workers=1, console=Console(file=said, width=300))
    return said.getvalue()


def test_single_steps_that_are_not_finite_are_left_out_told_and_counted(
    recipe: DecoderRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda call: call in (3, 4, 8))
    said = train(recipe, tmp_path / "run")
    assert "step 3, 0.0 kimg: loss is not finite; the step is left out (1 so far)" in said
    state = torch.load(tmp_path / "run" / "final.pt", weights_only=True)
    assert state["position"]["left_out"] == 3
    assert state["position"]["step"] == STEPS


def test_three_in_a_row_end_the_run_with_the_last_good_checkpoint(
    recipe: DecoderRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        spoil(patch, lambda call: call >= 5)
        with pytest.raises(TrainingError, match=r"stage 1, step 7, .* loss is not finite, the 3rd step in a row"):
            train(recipe, run)
    assert torch.load(run / "checkpoint.pt", weights_only=True)["position"]["step"] <= 6
    train(recipe, run)  # resumes
    assert torch.load(run / "final.pt", weights_only=True)["position"]["step"] == STEPS


def test_a_resumed_run_makes_the_final_file_that_a_kill_prevented(
    finished: Path, recipe: DecoderRecipe, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    whole = (tmp_path / "run" / "final.pt").read_bytes()
    (tmp_path / "run" / "final.pt").unlink()
    train(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "final.pt").read_bytes() == whole


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    state = torch.load(path, weights_only=True)
    edit(state)
    torch.save(state, path)


def poison(state: dict[str, Any]) -> None:
    state["networks"]["generator_ema"]["const"].fill_(float("nan"))


def blow_up(state: dict[str, Any]) -> None:
    state["networks"]["generator_ema"]["const"].fill_(1e38)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (poison, "not finite, so the run diverged"),
        (lambda state: state["networks"].pop("encoder"), "no weights of encoder"),
        (lambda state: state["position"].pop("images") and state["position"].update(step="x"), "no run position"),
        (lambda state: state.pop("optimizers"), "it has no optimizers"),
        (lambda state: state["optimizers"].pop("muon"), "optimisers do not fit"),
        (lambda state: state.update(recipe="{}"), "another recipe"),
        (lambda state: state.update(recipe="no"), "holds no recipe"),
        (lambda state: state.update(data_digest="0"), "is not the data"),
    ],
)
def test_a_checkpoint_that_cannot_be_resumed_says_why(
    finished: Path, recipe: DecoderRecipe, tmp_path: Path, edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "checkpoint.previous.pt").unlink()
    change(run / "checkpoint.pt", lambda state: state["position"].update(stage=0, stage_images=4))
    change(run / "checkpoint.pt", edit)
    with pytest.raises(BunrakuError, match=words):
        train(recipe, run)


@pytest.mark.parametrize("edit", [poison, blow_up])
def test_networks_with_non_finite_output_neither_draw_nor_export(
    finished: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    path = tmp_path / "final.pt"
    shutil.copy(finished / "final.pt", path)
    change(path, edit)
    for use in (
        lambda task: task.evaluate(tmp_path, frames=8, at_px=None, note=print),
        lambda task: task.export(tmp_path / "x.bunraku", name="X", report={}, refine=False, half=False, note=print),
    ):
        with pytest.raises(CheckpointError, match="not finite"):
            use(exporting(open_run(path)))
    assert not (tmp_path / "x.bunraku").exists()


def test_a_full_disk_costs_the_curves_and_the_sheets_but_not_the_run(
    recipe: DecoderRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "tensorboard").write_text("in the way")
    (run / "sheets").write_text("in the way")
    said = train(msgspec.structs.replace(recipe, sheet_kimg=0.02), run)
    assert "No more curves for TensorBoard" in said
    assert "no sheets at" in said
    assert (run / "final.pt").is_file()


def test_curves_are_read_back_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    made = curves.Curves(tmp_path / "curves", 100, note=print)
    made.add({"pixel": 0.5, "loss": 2.0}, 200)
    made.close()
    (file,) = (tmp_path / "curves").iterdir()
    events = list(EventFileLoader(str(file)).Load())
    assert events[0].file_version == "brain.Event:2"
    assert (events[1].step, events[2].step) == (100, 200)
    assert {value.tag for value in events[2].summary.value} == {"pixel", "loss"}


def test_a_run_that_cannot_be_kept_is_refused(recipe: DecoderRecipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be kept"):
        train(recipe, tmp_path / "file" / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text('{"torn')
    with pytest.raises(RecipeError, match=r"recipe\.json cannot be read"):
        train(recipe, tmp_path / "run")


def test_a_prior_is_not_fitted_to_what_is_not_finite() -> None:
    people = torch.randn(8, 4)
    people[2, 1] = float("nan")
    with pytest.raises(TrainingError, match="latents of people are not finite"):
        fit_mapping(people, 0.1, steps=2, seed=0)


def test_the_position_of_an_older_checkpoint_is_read() -> None:
    old = {key: value for key, value in dataclasses.asdict(Position(step=3)).items() if key != "left_out"}
    assert Position.restored(old) == Position(step=3)
