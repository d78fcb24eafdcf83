"""A small run of the animator: data with layers, steps, resuming, evaluation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from rich.console import Console

from engine_bridge.errors import BunrakuError
from runtime.character.file import Character
from runtime.composite.references import LAYERS, REFERENCES
from runtime.engines.choice import candidates
from runtime.engines.factory import EngineSettings, make_engine
from tests.training_runs import check_that_it_goes_on
from training.animator.task import AnimatorTask, above_eyes, faces
from training.cast import from_dict, render, write_dataset
from training.data.dataset import open_dataset, read_labels, shrink_premultiplied
from training.data.references import open_layers, open_references
from training.errors import CheckpointError, DatasetError, RecipeError
from training.loop import fit
from training.recipe import load_recipe
from training.runs import exporting, looking, open_run
from training.task import Beginning, Task
from training.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "layers"
    write_dataset(
        folder, identities=5, frames_per_identity=3, named_frames=0, size_px=256, seed=4, layers=True, workers=2
    )
    return folder


@pytest.fixture(scope="module")
def settings(data: Path) -> tuple[str, ...]:
    return (
        f"data.path={data}",
        "data.holdout_identities=0.4",
        "model.reader=[8,8,12,16]",
        "model.channels=[8,8,8]",
        "model.blocks=[1,1,1]",
        "model.id_dim=8",
        "model.code_dim=16",
        "model.planes_px=64",
        "precision=32-true",
        "checkpoint_steps=2",
        "model.discriminator_channels=[8,8]",
        "stage=[{kimg=0.016,size_px=64,batch=4,frames=2,warmup_kimg=0},"
        '{kimg=0.008,size_px=128,batch=4,frames=2,objectives=["motion","adversarial"]}]',
    )


@pytest.fixture(scope="module")
def finished(settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    fit(load_recipe("animator", settings), run, workers=2, console=Console(file=io.StringIO()))
    return run


def test_a_data_set_with_layers_holds_everybody_at_rest_and_every_picture_apart(data: Path) -> None:
    references, layers = open_references(data, 128), open_layers(data)
    _, people, rows, _ = read_labels(data)
    assert references.shape == (5, len(REFERENCES), 128, 128, 4)
    assert layers.shape == (15, len(LAYERS), 128, 128, 4)
    who = from_dict(people[3].attributes)
    wanted = shrink_premultiplied(render(who, {}, 256), 128).astype(float)
    together = np.zeros((128, 128, 4))
    for layer in references[3, : len(LAYERS)]:
        together = layer + together * (1 - layer[..., 3:] / 255.0)
    assert np.quantile(np.abs(together - wanted), 0.99) <= 4
    moved = np.zeros((128, 128, 4))
    for layer in layers[7]:
        moved = layer + moved * (1 - layer[..., 3:] / 255.0)
    pictures = open_dataset(data, 128).pictures
    assert np.abs(moved - pictures[7]).mean() < 0.3 * np.abs(together - pictures[7]).mean() + 1
    assert rows[7].identity != 3


def test_without_layers_the_data_set_is_as_it_always_was(tmp_path: Path) -> None:
    write_dataset(tmp_path / "plain", identities=1, frames_per_identity=2, named_frames=0, size_px=32, seed=1)
    assert '"layers"' not in (tmp_path / "plain" / "dataset.json").read_text()
    with pytest.raises(DatasetError, match=r"no back reference of identity 0.*--layers"):
        open_references(tmp_path / "plain", 32)
    with pytest.raises(DatasetError, match=r"line 1 has no layer back.*--layers"):
        open_layers(tmp_path / "plain")


def test_a_run_goes_on_where_it_was_stopped_and_ends_the_same(
    finished: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    check_that_it_goes_on("animator", settings, finished, tmp_path / "run")


def test_faces_are_judged_at_the_same_place() -> None:
    torch.manual_seed(3)
    place = torch.arange(64.0)
    picture = (place + 64 * place[:, None]).expand(3, 4, 64, 64)
    eyes = torch.tensor([[0.6, 0.4, 0.7, 0.5], [0.4, 0.4, 0.5, 0.5], [0.5, 0.6, 0.6, 0.7]])
    regions = torch.stack([eyes, eyes, torch.zeros(3, 4)])  # nobody's face lies at the corner
    real, fake = faces(regions, picture, picture)
    assert real.shape == (3, 4, 32, 32)
    assert torch.equal(real, fake)
    x, y = real[:2, 0, 16, 16] % 64, real[:2, 0, 16, 16] // 64
    assert ((x - 0.55 * 64).abs() <= 5).all()
    assert ((y - 0.52 * 64).abs() <= 5).all()
    assert real[2, 0, 0, 0] <= 4 + 64 * 4


def test_brows_lie_above_eyes() -> None:
    regions = torch.tensor([[[0.5, 0.5, 0.7, 0.6], [0.3, 0.5, 0.4, 0.6], [0.4, 0.7, 0.6, 0.8]], [[0.0] * 4] * 3])
    found = above_eyes(regions)
    torch.testing.assert_close(found[0, 0], torch.tensor([0.47, 0.44, 0.73, 0.51]))
    assert torch.equal(found[:, 2], regions[:, 2])
    assert not found[1].any()  # nobody's


def test_evaluation_asks_people_never_trained_on_and_writes_what_it_saw(finished: Path, tmp_path: Path) -> None:
    task = open_run(finished)
    assert isinstance(task, AnimatorTask)
    report = task.evaluate(tmp_path, frames=6, at_px=None, note=print)
    unseen = report["unseen_identities"]
    assert unseen["frames"] >= 3
    assert unseen["ours"].keys() == unseen["reference_not_moved"].keys()
    assert unseen["ours"]["psnr_median_db"] > 10
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "held-out.png",
        "poses.png",
        "unseen_identities.png",
    ]
    assert 0 <= report["obedience"]["mouth_open"]["right"] <= report["obedience"]["mouth_open"]["frames"] <= 6
    with pytest.raises(DatasetError, match="100 px"):
        task.evaluate(tmp_path, frames=6, at_px=100, note=print)


def test_people_of_another_data_set_are_asked_about_at_its_size(finished: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dataset(
        other, identities=2, frames_per_identity=2, named_frames=0, size_px=512, seed=9, layers=True, workers=2
    )
    task = open_run(finished)
    assert isinstance(task, AnimatorTask)
    looking(task).look_at(other, note=print)
    report = task.evaluate(tmp_path / "sheets", frames=4, at_px=None, note=print)
    assert report["size_px"] == 512
    assert report["unseen_identities"]["frames"] == 4
    assert "frames_trained_on" not in report
    task = open_run(finished)
    looking(task).look_at(data, note=print)  # these are known, but for those that were held out
    assert len(task.split.unseen_controls) + len(task.split.unseen_identities) == 15  # type: ignore[attr-defined]
    assert len(task.split.unseen_controls) > 0  # type: ignore[attr-defined]


def test_it_becomes_a_character_that_plays(finished: Path, tmp_path: Path) -> None:
    task = exporting(open_run(finished))
    assert isinstance(task, AnimatorTask)
    told = task.export(
        tmp_path / "own.bunraku", name="Own", report={"size_px": 128}, refine=True, half=True, note=lambda _: None
    )
    assert list(told.identities) == ["animator"]  # nobody has a name there
    assert (told.name, told.provenance["began_with"]) == ("Own", ())
    assert task.position.images == 24  # pictures; in the file they are rounded to hundreds
    write_dataset(
        tmp_path / "people", identities=1, frames_per_identity=1, named_frames=0, size_px=512, seed=9, layers=True
    )
    out = tmp_path / "people.bunraku"
    task.export(out, name="Two", report={}, refine=True, half=True, people=tmp_path / "people", note=lambda _: None)
    with Character.open(out) as character:
        assert character.manifest.frame.width == 512
        assert character.report()["export_parity"]["pixels"] <= 0.1
        assert "drawn" in character.manifest.provenance["people"]
        (candidate,), _ = candidates("onnxruntime", character)
        engine = make_engine(candidate, character, EngineSettings(threads=1, patient=True))
    rest = np.array([[control.rest for control in told.controls]], np.float32)
    drawn = np.empty((1, 512, 512, 4), np.uint8)
    with engine:
        engine.infer(np.ones((1, 1), np.float32), rest, drawn)
    # Hardly anything was learnt in four steps, so at rest they are nearly the drawing.
    _, people, _, _ = read_labels(tmp_path / "people")
    wanted = render(from_dict(people[0].attributes), {}, 512).astype(float)
    shown = [
        np.concatenate([p[..., :3] * (p[..., 3:] / 255), p[..., 3:]], -1) for p in (drawn[0].astype(float), wanted)
    ]
    assert np.abs(shown[0] - shown[1]).mean() < 6


def test_people_from_seeds_come_along_and_runs_begin_with_the_character(
    finished: Path, settings: tuple[str, ...], data: Path, tmp_path: Path
) -> None:
    sizes = ("w_dim=8", "memories=2", "memory=4", "warps=2", "channels=8", "blocks=1", "paints=2", "code_dim=8")
    portrait = (
        f"data.path={data}",
        "data.holdout_identities=0.4",
        *(f"model.{size}" for size in sizes),
        "precision=32-true",
        "mapping_steps=3",
        "stage=[{kimg=0.004,size_px=64,batch=2}]",
    )
    fit(load_recipe("portrait", portrait), tmp_path / "portrait", workers=1, console=Console(file=io.StringIO()))
    task, out = exporting(open_run(finished)), tmp_path / "seeds.bunraku"
    rest = {"name": "Seeds", "report": {}, "refine": True, "half": True, "note": lambda _: None}
    told = task.export(out, portrait=tmp_path / "portrait", **rest)  # type: ignore[arg-type]
    assert told.provenance["people_from_seeds"]["recipe"]["name"] == "portrait"
    with Character.open(out) as character:
        latents = character.role().latents
        (candidate,), _ = candidates("onnxruntime", character)
        engine = make_engine(candidate, character, EngineSettings(threads=1, patient=True))
    drawn = np.empty((2, 256, 256, 4), np.uint8)
    at_rest = np.array([[control.rest for control in told.controls]] * 2, np.float32)
    with engine:
        engine.infer(np.stack([latents.identity(7), latents.identity("animator")]), at_rest, drawn)
    assert np.abs(drawn[0].astype(int) - drawn[1]).mean() > 1
    with pytest.raises(CheckpointError, match="Name one of the task portrait"):
        task.export(out, portrait=finished, **rest)  # type: ignore[arg-type]

    for name, recipe_again, run in (
        ("animator", load_recipe("animator", (*settings, f"start.character={out}")), finished),
        ("portrait", load_recipe("portrait", (*portrait, f"start.character={out}")), tmp_path / "portrait"),
    ):
        begun, ended = open_task(recipe_again), open_run(run)
        begun.open_data(data, recipe_again.stage, note=lambda _: None)
        with Character.open(out) as character:
            assert [run.recipe for run in cast(Beginning, begun).begin_with(character)] == [name]
        kept, taken = ended.state()["networks"], begun.state()["networks"]
        for network in {"reader", "animator", "portrait", "known"} & set(taken):
            of = kept.get(f"{network}_ema", kept[network])
            assert set(of) == set(taken[network])
            for weight, values in taken[network].items():
                rounding = 0.01 if "memories" in weight else 0.001
                least = max(rounding * float(of[weight].abs().max()), 2**-24)  # the smallest number in fp16
                torch.testing.assert_close(values, of[weight], rtol=rounding, atol=least)


def test_two_runs_are_compared_and_runs_of_other_data_are_not(finished: Path, tmp_path: Path) -> None:
    task = exporting(open_run(finished))
    told = task.compare(open_run(finished), tmp_path / "against.png")
    assert told["ours"] == told["other"]
    assert (tmp_path / "against.png").stat().st_size > 1000
    files = task.gallery(tmp_path, seed=0, truncation_psi=1.0)
    assert all(file.stat().st_size > 1000 for file in files)
    with pytest.raises(CheckpointError, match="of another task"):
        task.compare(cast(Task, object()), tmp_path / "x.png")
    with pytest.raises(CheckpointError, match="cannot become character files"):
        exporting(cast(Task, object()))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.channels=[10,8,8]", "multiples of 4"),
        ("model.planes_px=100", "planes_px 100"),
        ("stage.0.size_px=96", "96 px"),
        ("stage.0.frames=3", "not a multiple"),
        ('stage.0.objectives=["pairs"]', "objectives"),
        ("mapping_steps=3", "mapping_steps"),
        ("start={}", "needs either a checkpoint or a character"),
        ('start={checkpoint="a.pt",character="aki"}', "not both"),
    ],
)
def test_impossible_settings_are_named(settings: tuple[str, ...], override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("animator", (*settings, override))


def test_a_run_begins_with_another_ones_weights(finished: Path, settings: tuple[str, ...], tmp_path: Path) -> None:
    recipe = load_recipe("animator", (*settings, f"start.checkpoint={finished / 'final.pt'}"))
    said = io.StringIO()
    fit(recipe, tmp_path / "run", workers=1, console=Console(file=said, width=200))
    assert "starting from animator, 0 kimg" in said.getvalue()
    smaller = load_recipe("animator", (*settings, f"start.checkpoint={finished / 'final.pt'}", "model.id_dim=4"))
    with pytest.raises(BunrakuError, match="does not fit"):
        fit(smaller, tmp_path / "smaller", workers=1, console=Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("character", "words"),
    [("aki", "does not fit"), ("crowd", r"crowd\.bunraku has no reader\.onnx"), ("nobody", 'no character "nobody"')],
)
def test_a_character_that_a_run_cannot_begin_with_is_named(
    settings: tuple[str, ...], tmp_path: Path, character: str, words: str
) -> None:
    recipe = load_recipe("animator", (*settings, f"start.character={character}"))
    with pytest.raises(BunrakuError, match=words):
        fit(recipe, tmp_path / "run", workers=1, console=Console(file=io.StringIO()))
