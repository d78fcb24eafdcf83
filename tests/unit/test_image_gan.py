"""The dense GAN: reading pictures, its networks and figures, and a small run of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from runtime.character.file import Character
from runtime.engines.factory import Candidate, EngineSettings, make_engine
from runtime.live.performer import DEFAULT_PSI
from tests.training_runs import check_that_it_goes_on
from training.errors import CheckpointError, DatasetError, RecipeError
from training.image_gan import dense, distances
from training.image_gan.dense import DenseTask
from training.image_gan.distances import frechet, nearest, variety
from training.image_gan.networks import Discriminator, Generator
from training.image_gan.pictures import open_pictures
from training.image_gan.recipe import DenseRecipe, Model, Pictures
from training.loop import fit
from training.recipe import load_recipe
from training.runs import exporting, looking, open_run

pytestmark = pytest.mark.usefixtures("one_thread")

CELL_PX, SIZE_PX, STEPS = 16, 8, 10
BLUE = (0, 0, 255)


def sheet(path: Path, rows: int, columns: int, *, seed: int) -> None:
    """A sheet of squares, each with its own colour and place, on a clear ground."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGBA", (columns * CELL_PX, rows * CELL_PX))
    for cell in range(rows * columns):
        left, top = (int(place) for place in rng.integers(0, CELL_PX - 8, 2))
        corner = (cell % columns * CELL_PX + left, cell // columns * CELL_PX + top)
        image.paste((*rng.integers(0, 256, 3).tolist(), 255), (*corner, corner[0] + 8, corner[1] + 8))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def whole(path: Path, size: tuple[int, int] = (CELL_PX, CELL_PX), colour: tuple[int, ...] = (255, 0, 0)) -> None:
    """One picture: the left half of one colour, the right half black."""
    image = Image.new("RGB", size)
    image.paste(colour, (0, 0, size[0] // 2, size[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95) if path.suffix == ".jpg" else image.save(path)


def settings_of(**changes: Any) -> Pictures:
    return Pictures(**{"path": "", "licence": "CC0-1.0", "author": "a test", "background": BLUE, **changes})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    data = tmp_path_factory.mktemp("data") / "squares"
    sheet(data / "first.png", 6, 10, seed=1)
    sheet(data / "more" / "second.png", 6, 10, seed=2)
    return (
        f"data.path={data}",
        f"data.cell_px={CELL_PX}",
        "data.holdout_identities=0.2",
        "data.licence=CC0-1.0",
        "model.z_dim=8",
        "model.widths=[16,32]",
        "ema_kimg=0.02",
        "checkpoint_steps=2",
        f"stage=[{{kimg=0.08,size_px={SIZE_PX},batch=16}},{{kimg=0.08,size_px={SIZE_PX},batch=16}}]",
    )


def train(settings: tuple[str, ...], run: Path) -> str:
    """Train, and return the output."""
    said = io.StringIO()
    fit(load_recipe("dense", settings), run, workers=1, console=Console(file=said, width=300))
    return said.getvalue()


@pytest.fixture(scope="module")
def finished(settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    train(settings, run)
    return run


@pytest.fixture(scope="module")
def task(finished: Path) -> DenseTask:
    task = open_run(finished)
    assert isinstance(task, DenseTask)
    return task


def test_the_networks_are_mirror_images() -> None:
    generator, discriminator = Generator(Model(), 32), Discriminator(Model(), 32)
    forth = [(layer.in_features, layer.out_features) for layer in generator.layers]
    back = [(layer.in_features, layer.out_features) for layer in discriminator.layers]
    assert forth == [(128, 256), (256, 512), (512, 1024), (1024, 32 * 32 * 3)]
    assert back == [(32 * 32 * 3, 1024), (1024, 512), (512, 256), (256, 1)]
    drawn = generator(torch.randn(2, 128))
    assert drawn.shape == (2, 3, 32, 32)
    assert drawn.abs().max() <= 1
    assert discriminator(drawn).shape == (2,)


def test_sheets_are_cut_and_empty_cells_and_copies_left_out(tmp_path: Path) -> None:
    sheet(tmp_path / "a.png", 1, 3, seed=5)
    with Image.open(tmp_path / "a.png") as image:
        longer = Image.new("RGBA", (5 * CELL_PX, CELL_PX))
        longer.paste(image, (CELL_PX, 0))  # an empty cell at either end
    longer.save(tmp_path / "b.png")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "no.png").write_bytes(b"what other programs keep is left alone")
    (tmp_path / "AUTHORS.txt").write_text("somebody", encoding="utf-8")
    told: list[str] = []
    dataset = open_pictures(tmp_path, settings_of(cell_px=CELL_PX), SIZE_PX, note=told.append)
    assert dataset.pictures.shape == (3, SIZE_PX, SIZE_PX, 4)
    assert "3 pictures; left out: 2 of one colour, 3 that were there already" in told[0]
    assert {tuple(picture[0, -1]) for picture in dataset.pictures} == {(*BLUE, 255)}


def test_whole_pictures_lose_what_is_beside_the_middle_and_small_ones_are_enlarged(tmp_path: Path) -> None:
    whole(tmp_path / "wide.jpg", (64, 16))
    whole(tmp_path / "tiny.webp", (4, 4), (0, 255, 0))
    tiny, wide = open_pictures(tmp_path, settings_of(), SIZE_PX).pictures.astype(int)
    assert np.abs(wide[:, 0, :3] - (255, 0, 0)).max() < 40
    assert wide[:, -1, :3].max() < 40
    assert tiny[:, :4, 1].min() > tiny[:, 4:, 1].max() + 150


def test_the_digest_changes_with_any_file(tmp_path: Path) -> None:
    whole(tmp_path / "a.png")
    first = open_pictures(tmp_path, settings_of(), SIZE_PX).digest
    assert open_pictures(tmp_path, settings_of(), SIZE_PX).digest == first
    whole(tmp_path / "a.png", colour=(254, 0, 0))
    assert open_pictures(tmp_path, settings_of(), SIZE_PX).digest != first


def damaged(folder: Path) -> None:
    whole(folder / "good.png")
    (folder / "bad.png").write_bytes((folder / "good.png").read_bytes()[:60])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder.rmdir(), r"There is no folder .*data.path"),
        (lambda folder: None, r"has no pictures.*\.png"),
        (damaged, r"bad\.png cannot be read.*take it out of the folder"),
        (lambda folder: (folder / "note.png").write_text("hello"), r"note\.png cannot be read: it is not a PNG"),
        (lambda folder: whole(folder / "odd.png", (20, 16)), r"odd\.png has 20x16 px.*cells of 16 px.*data\.cell_px"),
        (lambda folder: Image.new("RGB", (32, 32)).save(folder / "flat.png"), "All pictures .* are of one colour"),
        (lambda folder: sheet(folder / "few.png", 1, 3, seed=1), r"leaves \d pictures to train on.*batch of 16"),
    ],
)
def test_bad_input_is_named(
    tmp_path: Path, settings: tuple[str, ...], make: Callable[[Path], None], words: str
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    make(folder)
    changed = (*settings, f"data.path={folder}", "data.holdout_identities=0.0")
    with pytest.raises(DatasetError, match=words):
        train(changed, tmp_path / "run")


def test_the_nearest_is_found_in_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    pictures, among = torch.randn(5, 3, 4, 4), torch.randn(23, 3, 4, 4)
    monkeypatch.setattr(distances, "AT_ONCE", 7)
    far, rows = nearest(pictures, among)
    each = (pictures[:, None] - among).square().flatten(2).mean(2).sqrt()
    assert torch.equal(rows, each.argmin(1))
    assert torch.allclose(far, each.amin(1), atol=1e-5)
    assert variety(among) == pytest.approx(float(torch.pdist(among.flatten(1)).mean()) / 48**0.5)


def test_the_frechet_distance_is_that_of_two_normal_distributions() -> None:
    torch.manual_seed(2)
    rows = torch.randn(4000, 3)
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-6)
    moved = rows * torch.tensor([1.0, 2.0, 1.0]) + torch.tensor([0.0, 0.0, 3.0])
    assert frechet(rows, moved) == pytest.approx(1 + 9, rel=0.1)  # (2 - 1)^2 of deviations, 3^2 of means


def test_a_run_goes_on_where_it_was_stopped_and_ends_the_same(
    finished: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    check_that_it_goes_on("dense", settings, finished, tmp_path / "run")


def test_both_networks_have_learnt(task: DenseTask, settings: tuple[str, ...]) -> None:
    recipe = load_recipe("dense", settings)
    assert isinstance(recipe, DenseRecipe)
    fresh = DenseTask(recipe)
    for name in dense.NETWORKS:
        before, after = getattr(fresh, name).state_dict(), getattr(task, name).state_dict()
        assert all(not torch.equal(before[key], after[key]) for key in before), name
    assert task.position.step == STEPS


@pytest.mark.parametrize("call", [4, 6])  # of the second step, the discriminator's and the generator's
def test_a_step_that_is_not_finite_is_left_out(
    settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls, plain = iter(range(1, 1000)), dense.cross_entropy
    monkeypatch.setattr(
        dense, "cross_entropy", lambda *a, **k: plain(*a, **k) + (float("inf") if next(calls) == call else 0)
    )
    said = train(settings, tmp_path / "run")
    who = {4: "discriminator", 6: "generator"}[call]
    assert f"loss of the {who} is not finite; the step is left out (1 so far)" in said
    assert torch.load(tmp_path / "run" / "final.pt", weights_only=True)["position"]["left_out"] == 1


def test_a_run_begins_with_another_ones_weights(finished: Path, settings: tuple[str, ...], tmp_path: Path) -> None:
    start = f"start.checkpoint={finished / 'final.pt'}"
    assert "starting from dense, 0.2 kimg" in train((*settings, start), tmp_path / "run")
    with pytest.raises(CheckpointError, match="does not fit the recipe's networks"):
        train((*settings, start, "model.widths=[16]"), tmp_path / "smaller")


def test_evaluation_compares_with_pictures_never_trained_on(task: DenseTask, tmp_path: Path) -> None:
    told: list[str] = []
    report = task.evaluate(tmp_path, frames=16, at_px=4, note=told.append)
    assert report["pictures"] == min(16, len(task.split.unseen_identities)) >= 8
    assert report["trained_on"] == len(task.split.train)
    assert set(report["discriminator"]) == {"trained_on", "held_out", "drawn"}
    for figure in ("nearest_trained_on_255", "variety_255", "frechet_4x4"):
        assert all(0 < report[figure][who] < 1e6 for who in ("held_out", "drawn"))
    assert report["variety_255"]["drawn"] < report["variety_255"]["held_out"]  # after ten steps
    assert len(told) == 4
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["nearest.png", "seeds.png", "walks.png"]
    with pytest.raises(DatasetError, match="3 px"):
        task.evaluate(tmp_path, frames=16, at_px=3, note=print)


def test_copies_show_in_the_figures(task: DenseTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "draw", lambda z: task.pictures(task.split.train[: len(z)]))
    report = task.evaluate(tmp_path, frames=16, at_px=None, note=print)
    assert report["nearest_trained_on_255"]["drawn"] < 0.1 < report["nearest_trained_on_255"]["held_out"]
    assert report["as_near_as_the_nearest_held_out"] == 1


def test_without_pictures_held_out_there_are_no_figures(settings: tuple[str, ...], tmp_path: Path) -> None:
    train((*settings, "data.holdout_identities=0.0"), tmp_path / "run")
    with pytest.raises(DatasetError, match=r"Raise data\.holdout_identities"):
        open_run(tmp_path / "run").evaluate(tmp_path, frames=16, at_px=None, note=print)


def test_the_character_plays_what_the_network_draws_and_walks(task: DenseTask, tmp_path: Path) -> None:
    manifest = exporting(task).export(
        tmp_path / "squares.bunraku", name="Squares", report={"size_px": SIZE_PX}, refine=True, half=True, note=print
    )
    assert (manifest.licence, manifest.frame.width) == ("CC0-1.0", SIZE_PX)
    with Character.open(tmp_path / "squares.bunraku") as character:
        role = character.role()
        with make_engine(Candidate("onnxruntime", "fp32"), character, EngineSettings(threads=1)) as engine:

            def played(w: Any) -> Any:
                out = np.empty((1, SIZE_PX, SIZE_PX, 4), np.uint8)
                engine.infer(w[None], np.zeros((1, 1), np.float32), out)
                return out[0].astype(int)

            seven, eight = (role.latents.identity(seed, truncation_psi=DEFAULT_PSI) for seed in (7, 8))
            halfway = played(role.latents.mixture(seven, eight, 0.5))
            named = played(role.latents.identity("seed 7"))
            seven, eight = played(seven), played(eight)
    wanted = (task.draw(task.latents([7, 8], psi=DEFAULT_PSI)).movedim(1, -1).numpy() + 1) * 127.5
    assert np.abs(np.stack([seven, eight])[..., :3] - wanted).max() <= 2
    assert np.abs((task.draw(task.latents([7]))[0].movedim(0, -1).numpy() + 1) * 127.5 - named[..., :3]).max() <= 2
    assert (seven[..., 3] == 255).all()
    assert not np.array_equal(seven, eight)
    assert not np.array_equal(halfway, seven)
    assert not np.array_equal(halfway, eight)
    assert [(control.minimum, control.maximum) for control in role.controls] == [(0, 0)]  # nothing to move


def test_a_gallery_begins_with_the_seed_and_runs_are_compared(task: DenseTask, finished: Path, tmp_path: Path) -> None:
    files = exporting(task).gallery(tmp_path, seed=3, truncation_psi=0.5)
    assert [path.name for path in files] == ["seeds.png", "walks.png"]
    with Image.open(files[0]) as image:
        shown = np.asarray(image)
    side = shown.shape[0] // 8
    third = (task.draw(task.latents([3], psi=0.5))[0].movedim(0, -1).numpy() + 1) * 127.5
    assert np.abs(shown[:side:12, :side:12] - third).max() <= 1
    figures = exporting(task).compare(open_run(finished), tmp_path / "against.png")
    assert figures["trained_on"] == len(task.split.train)
    assert (tmp_path / "against.png").is_file()


def test_what_it_cannot_do_is_reported(task: DenseTask, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="from seeds only"):
        exporting(task).export(
            tmp_path / "x", name="x", report={}, refine=False, half=False, note=print, people=tmp_path
        )
    with pytest.raises(CheckpointError, match="Omit --people"):
        looking(task)


def test_recipes_that_cannot_work_are_refused() -> None:
    for override, words in (
        ("stage=[{kimg=1,size_px=16},{kimg=1,size_px=32}]", "one size"),
        ('stage=[{kimg=1,objectives=["adversarial"]}]', "only one"),
        ("stage=[{kimg=1,batch=0}]", "batches of 0"),
        ("stage=[]", "at least one"),
        ("model.widths=[]", "at least 1"),
        ("model.dropout=1.0", "below 1"),
        ("data.background=[0,0,300]", "from 0 to 255"),
        ("data.cell_px=-1", "not be below 0"),
        (f"data={json.dumps('here')}", "Expected `object`"),
    ):
        with pytest.raises(RecipeError, match=words):
            load_recipe("dense", (override,))
