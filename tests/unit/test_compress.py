"""A smaller generator from a larger one: the channels it keeps, and what it learns from the larger one's pictures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from training.cast import write_dataset
from training.checkpoint import save_checkpoint
from training.data.dataset import Dataset, open_dataset
from training.decoder import inherit
from training.decoder.inherit import inherit_generator
from training.decoder.networks import Generator
from training.decoder.recipe import DecoderRecipe, DecoderStage, Distil, Loss, Model, Objective
from training.decoder.state import build_networks
from training.decoder.teacher import Teacher
from training.decoder.trainer import StageTrainer
from training.errors import CheckpointError, RecipeError
from training.recipe import load_recipe
from training.settings import Data as DataSettings
from training.settings import Start
from training.task import Position

RANGES = [(-30.0, 30.0, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.5)]


def _generator(channels: tuple[int, ...], blocks: tuple[int, ...] = (1, 2, 1), seed: int = 0) -> Generator:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(seed)
    net = Generator(
        w_dim=8,
        controls=RANGES,
        channels=channels,
        blocks=blocks,
        modulate_to=16,
        head=2,
        sizes_px=[64],
        code_dim=16,
    )
    return net.eval().requires_grad_(False)


def _awake(net: Generator) -> Generator:
    torch.manual_seed(7)
    for name, parameter in net.named_parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05 if name.endswith("b.weight") else 0.1)
    return net


def _pictures(net: Generator) -> Tensor:
    torch.manual_seed(1)
    low, high = (torch.tensor([r[i] for r in RANGES]) for i in (0, 1))
    out: Tensor = net(torch.randn(6, 8), low + (high - low) * torch.rand(6, 3))
    return out


def _put_to_sleep(net: Generator, *, factor: float) -> None:
    """Scale the effect of every second channel, in the trunk and inside the blocks, by `factor`."""
    for name, parameter in net.named_parameters():
        if ".blocks." in name or "enter." in name:
            if name.endswith(("affine.weight", "affine.bias")):
                for part in parameter.data.chunk(3):
                    part[1::2] *= factor
            elif name != "enter.weight" or parameter.shape[0] > 1:
                parameter.data[1::2] *= factor


def test_without_idle_channels_the_picture_is_the_same() -> None:
    large, small = _awake(_generator((16, 16, 16))), _generator((8, 8, 8), seed=3)
    _put_to_sleep(large, factor=0.0)
    inherit_generator(small, large.state_dict())
    assert torch.allclose(_pictures(small), _pictures(large), atol=1e-5)


def test_important_channels_keep_the_picture_better_than_any_others(monkeypatch: pytest.MonkeyPatch) -> None:
    large = _awake(_generator((16, 16, 16)))
    _put_to_sleep(large, factor=0.2)
    wanted = _pictures(large)

    def error() -> float:
        small = _generator((8, 8, 8), seed=3)
        inherit_generator(small, large.state_dict())
        return float((_pictures(small) - wanted).square().mean())

    ours = error()
    torch.manual_seed(0)
    monkeypatch.setattr(
        inherit, "_most_important", lambda importance, count: torch.randperm(len(importance))[:count].sort().values
    )
    assert ours < 0.5 * min(error() for _ in range(6))


def test_more_channels_and_blocks_change_nothing_at_first() -> None:
    small, large = _awake(_generator((8, 8, 8))), _generator((12, 16, 10), (2, 2, 3), seed=3)
    inherit_generator(large, small.state_dict())
    assert torch.allclose(_pictures(large), _pictures(small), atol=1e-5)
    fresh = large.stages[0].enter.weight[8:]
    assert fresh.any()  # so that the new channels can learn


def test_fewer_blocks_leave_the_first_ones() -> None:
    large, small = _awake(_generator((8, 8, 8), (1, 2, 1))), _generator((8, 8, 8), (1, 1, 1), seed=3)
    inherit_generator(small, large.state_dict())
    assert torch.equal(small.stages[0].blocks[0].a.weight, large.stages[0].blocks[0].a.weight)
    large.stages[0].blocks[1].b.weight.data.zero_()
    large.stages[0].blocks[1].b.bias.data.zero_()
    assert torch.allclose(_pictures(small), _pictures(large), atol=1e-6)


def test_a_larger_head_repeats_the_pixels_of_a_narrower_trunk() -> None:
    large = _awake(_generator((16, 16, 16)))
    _put_to_sleep(large, factor=0.0)
    torch.manual_seed(3)
    grown = Generator(
        w_dim=8,
        controls=RANGES,
        channels=(8, 8, 8),
        blocks=(1, 2, 1),
        modulate_to=16,
        head=4,
        sizes_px=[128],
        code_dim=16,
    ).requires_grad_(False)
    inherit_generator(grown, large.state_dict())
    repeated = _pictures(large).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(_pictures(grown), repeated, atol=1e-5)


def test_the_shipped_recipe_is_about_half_of_the_character() -> None:
    small, whole = load_recipe("compress"), load_recipe("aki")
    assert isinstance(small, DecoderRecipe)
    assert isinstance(whole, DecoderRecipe)
    assert small.teaching == Distil()
    assert small.start == Start("runs/aki/final.pt")
    assert small.stage[-1].size_px == whole.stage[-1].size_px
    assert 0.4 < _work(small.model) / _work(whole.model) < 0.6


def _work(model: Model) -> int:
    """Multiplications of the trunk's and the head's convolutions."""
    total, before = 0, 64 // 9
    for level, (width, blocks) in enumerate(zip(model.channels, model.blocks, strict=True)):
        pixels = (8 * 2**level) ** 2
        total += 9 * (before * width * pixels // (4 if level else 1) + 2 * blocks * width * width * pixels)
        before = width
    return total + 9 * before * 4 * model.head**2 * pixels


@pytest.mark.parametrize("wrong", ["distil.share=1.0", "distil.share=0.9", "distil.share=0.0", "distil.weight=0"])
def test_impossible_lessons_are_refused(wrong: str) -> None:
    with pytest.raises(RecipeError, match="distil"):
        load_recipe("compress", (wrong,))


def test_lessons_need_a_teacher(tmp_path: Path) -> None:
    path = tmp_path / "alone.toml"
    path.write_text(
        'name = "x"\ntask = "decoder"\n[data]\npath = "d"\n'
        '[[stage]]\nkimg = 1\nsize_px = 64\nobjectives = ["pairs", "distillation"]\n'
    )
    for start in ((), ('start={character="aki"}',)):  # a character's networks move people and teach nothing
        with pytest.raises(RecipeError, match=r"teacher.*\[start\]"):
            load_recipe(path, start)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "cast"
    write_dataset(folder, identities=6, frames_per_identity=4, named_frames=0, size_px=32, seed=1, workers=1)
    return open_dataset(folder, 32, workers=1)


def _recipe(channels: tuple[int, ...], *, checkpoint: str = "") -> DecoderRecipe:
    objectives: tuple[Objective, ...] = ("pairs", "distillation") if checkpoint else ("pairs",)
    return DecoderRecipe(
        name="student" if checkpoint else "teacher",
        task="decoder",
        data=DataSettings("cast"),
        stage=(DecoderStage(kimg=1, size_px=32, objectives=objectives, batch=8, lr=2e-3, warmup_kimg=0),),
        model=Model(w_dim=8, channels=channels, blocks=(1, 1), code_dim=16, discriminator_channels=(8, 8)),
        start=Start(checkpoint) if checkpoint else None,
        distil=Distil(share=0.5),
        loss=Loss(),
        precision="32-true",
        ema_kimg=0.05,
    )


def test_lessons_lower_the_distance_to_the_teacher(dataset: Dataset, tmp_path: Path) -> None:
    large = _recipe((16, 16))
    taught_by = build_networks(large, dataset.control_ranges)
    _awake(taught_by.generator_ema)
    checkpoint = tmp_path / "final.pt"
    state = {"recipe": msgspec.json.encode(large).decode(), "networks": taught_by.state()}
    save_checkpoint(checkpoint, state)
    with pytest.raises(CheckpointError, match="64 px"):
        Teacher.open(checkpoint, dataset.control_ranges, {64}, torch.device("cpu"))
    teacher = Teacher.open(checkpoint, dataset.control_ranges, {32}, torch.device("cpu"))

    small = _recipe((8, 8), checkpoint=str(checkpoint))
    student = build_networks(small, dataset.control_ranges)
    inherit_generator(student.generator, taught_by.generator_ema.state_dict())
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    frames = np.arange(len(dataset.identity))
    trainer = StageTrainer(fabric, small, small.stage[0], student, dataset, frames, teacher=teacher)
    losses = []
    for step in range(24):
        torch.manual_seed(step)
        values = trainer.step(trainer.batch(frames[:8]), Position(step=step, images=8 * step, stage_images=8 * step))
        losses.append(float(values["taught"].detach()))
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
