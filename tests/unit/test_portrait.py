"""The portrait generator: its network, and a small run of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import onnxruntime
import pytest
import torch
from rich.console import Console

from runtime.composite.references import LAYERS, REFERENCES
from tests.training_runs import check_that_it_goes_on
from training.cast import write_dataset
from training.errors import CheckpointError, DatasetError, RecipeError
from training.loop import fit
from training.portrait.graphs import portrait_graph
from training.portrait.networks import Portrait, settled
from training.portrait.recipe import Model
from training.portrait.task import PortraitTask, focus_of, pieces
from training.recipe import load_recipe
from training.runs import exporting, looking, open_run

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Model(
    w_dim=8, memories=4, memory=4, warps=2, channels=8, blocks=1, paints=3, code_dim=8, discriminator_channels=(8, 8, 8)
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    data = tmp_path_factory.mktemp("data") / "layers"
    write_dataset(
        data, identities=8, frames_per_identity=1, named_frames=0, size_px=128, seed=4, layers=True, workers=2
    )
    return (
        f"data.path={data}",
        "data.holdout_identities=0.3",
        *(f"model.{field}={json.dumps(getattr(SMALL, field))}" for field in SMALL.__struct_fields__),
        "precision=32-true",
        "checkpoint_steps=2",
        "mapping_steps=5",
        "stage=[{kimg=0.012,size_px=64,batch=4,warmup_kimg=0},"
        '{kimg=0.02,size_px=128,batch=4,objectives=["attributes","adversarial"]}]',
    )


@pytest.fixture(scope="module")
def finished(settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    fit(load_recipe("portrait", settings), run, workers=2, console=Console(file=io.StringIO()))
    return run


@pytest.fixture(scope="module")
def task(finished: Path) -> PortraitTask:
    task = open_run(finished)
    assert isinstance(task, PortraitTask)
    return task


def test_references_come_at_any_size_and_edges_are_no_softer_when_larger() -> None:
    torch.manual_seed(0)
    portrait = Portrait(SMALL)
    with torch.no_grad():
        for reference in portrait.references:
            reference.shares.weight.mul_(60)  # shares that have decided
        small, large = (portrait(torch.randn(2, 8), size) for size in (256, 512))
    assert small.shape == (2, len(REFERENCES), 4, 256, 256)
    assert large.shape == (2, len(REFERENCES), 4, 512, 512)

    def steepest(pictures: torch.Tensor) -> float:
        return float(torch.quantile(pictures[:, :, 3].diff(dim=-1).abs().flatten()[::7], 0.98))

    assert steepest(large) > 0.75 * steepest(small)


def test_colour_never_exceeds_alpha_in_what_is_drawn(task: PortraitTask) -> None:
    drawn = task.draw(task.latents(task.held_out), size_px=64)
    assert (drawn >= 0).all()
    assert (drawn[:, :, :3] <= drawn[:, :, 3:]).all()


def test_faces_are_looked_at_where_they_change(task: PortraitTask) -> None:
    wanted = task.wanted(task.held_out)
    focus = focus_of(wanted, 5.0)
    head = LAYERS.index("head")
    assert focus[:, :2].max() == focus[:, REFERENCES.index("front")].max() == 1
    assert focus[:, REFERENCES.index("inner")].max() == 6
    assert focus[:, head].max() == 6
    assert 0.005 < float((focus[:, head] > 1).float().mean()) < 0.2


def test_the_discriminator_sees_the_same_piece_of_both() -> None:
    torch.manual_seed(2)
    place = torch.arange(64.0)
    wanted = (place + 64 * place[:, None]).expand(2, len(REFERENCES), 4, 64, 64) / 64**2
    for _ in range(8):
        real, fake = pieces(wanted, wanted)
        assert real.shape == (2, 4 * len(REFERENCES) + 4, 32, 32)
        assert torch.equal(real, fake)
        assert torch.equal(real[:, 0].diff(dim=-1), torch.full((2, 32, 31), 1 / 64**2))


def test_the_discriminator_has_learnt_and_goes_on_with_the_run(finished: Path, settings: tuple[str, ...]) -> None:
    fresh = PortraitTask(load_recipe("portrait", settings))  # type: ignore[arg-type]
    fresh.open_data(Path(settings[0].removeprefix("data.path=")), fresh.recipe.stage, note=print)
    opened = open_run(finished)
    assert isinstance(opened, PortraitTask)
    assert not torch.equal(opened.discriminator.realness.weight, fresh.discriminator.realness.weight)


def test_a_run_goes_on_where_it_was_stopped_and_ends_the_same(
    finished: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    check_that_it_goes_on("portrait", settings, finished, tmp_path / "run")


def test_evaluation_asks_people_never_trained_on(task: PortraitTask, tmp_path: Path) -> None:
    report = task.evaluate(tmp_path, frames=8, at_px=None, note=print)
    assert report["unseen_people"]["people"] == len(task.held_out) >= 2
    assert not set(task.held_out) & set(task.trained_on)
    assert report["unseen_people"]["ours"]["psnr_median_db"] > 5
    assert set(report["unseen_people"]["by_reference"]) == set(REFERENCES)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["held-out.png", "people.png"]
    with pytest.raises(DatasetError, match="100 px"):
        task.evaluate(tmp_path, frames=8, at_px=100, note=print)


def test_people_of_another_data_set_are_asked_about_at_its_size(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dataset(
        other, identities=2, frames_per_identity=1, named_frames=0, size_px=256, seed=9, layers=True, workers=2
    )
    task = open_run(finished)
    assert isinstance(task, PortraitTask)
    before = task.latents(task.held_out)
    looking(task).look_at(other, note=print)
    report = task.evaluate(tmp_path / "sheets", frames=4, at_px=None, note=print)
    assert report["size_px"] == 256
    assert report["unseen_people"]["people"] == 2
    assert "seen_people" not in report
    task = open_run(finished)
    assert isinstance(task, PortraitTask)
    task.look_at(Path(task.recipe.data.path), note=print)  # the same people have the same latents
    assert torch.equal(task.latents(task.held_out), before)


def test_a_seed_is_somebody_and_always_the_same(task: PortraitTask) -> None:
    first, again = (task.sampled([3, 4], psi=1.0) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    with pytest.raises(CheckpointError, match="last stage has not ended"):
        PortraitTask(load_recipe("portrait")).sampled([1], psi=1.0)  # type: ignore[arg-type]


def test_what_is_remembered_travels_as_bytes_and_is_hardly_another_picture() -> None:
    torch.manual_seed(1)
    model = Model(w_dim=8, memories=8, memory=8, warps=2, channels=8, blocks=1, paints=3, code_dim=8)
    portrait, w = Portrait(model).eval(), torch.randn(2, 8)
    graph = portrait_graph(portrait, 8, 256)
    elements = sum(parameter.numel() for parameter in portrait.parameters())
    assert len(graph) < 1.35 * elements
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (drawn,) = session.run(None, {"w": w.numpy()})
    with torch.no_grad():
        wanted = settled(portrait(w))
    alpha = torch.from_numpy(drawn)[..., 3].float() / 255
    assert (alpha - wanted[:, :, 3]).abs().mean() < 2 / 255


def test_the_graph_draws_what_the_network_draws_as_bytes(task: PortraitTask) -> None:
    graphs = task.graphs(256)
    w = task.sampled([1, 2, 3], psi=1.0)
    session = onnxruntime.InferenceSession(graphs["portrait.onnx"], providers=["CPUExecutionProvider"])
    (drawn,) = session.run(None, {"w": w.numpy()})
    assert drawn.shape == (3, len(REFERENCES), 256, 256, 4)
    straight = torch.from_numpy(drawn).float().movedim(-1, 2) / 255
    premultiplied = torch.cat([straight[:, :, :3] * straight[:, :, 3:], straight[:, :, 3:]], 2)
    assert (premultiplied - task.draw(w, size_px=256)).abs().max() <= 3 / 255  # weights travel as fp16
    mapping = onnxruntime.InferenceSession(graphs["mapping.onnx"], providers=["CPUExecutionProvider"])
    z = torch.randn(2, task.mapping.z_dim)  # type: ignore[union-attr]
    found = torch.from_numpy(mapping.run(None, {"z": z.numpy()})[0])
    assert torch.allclose(found.square().mean(1), torch.ones(2), atol=1e-3)


def test_recipes_that_cannot_work_are_refused() -> None:
    for override, words in (
        ("stage=[{kimg=1,size_px=96}]", "64 times a power of two"),
        ("model.paints=0", "at least 1"),
        ('stage=[{kimg=1,size_px=64,objectives=["adversarial"]}]', 'needs the objective "attributes", alone or beside'),
    ):
        with pytest.raises(RecipeError, match=words):
            load_recipe("portrait", (override,))


def test_it_does_not_become_a_character_by_itself(task: PortraitTask) -> None:
    with pytest.raises(CheckpointError, match="cannot become character files"):
        exporting(task)
