"""Initialising from another run: what is copied, what is not, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from training.checkpoint import save_checkpoint
from training.decoder.inherit import Ancestor, begin_from
from training.decoder.recipe import DecoderRecipe
from training.decoder.state import Networks, build_networks
from training.errors import CheckpointError
from training.recipe import load_recipe

RANGES = [(-1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]
PEOPLE = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def other_seed(recipe: DecoderRecipe) -> DecoderRecipe:
    return msgspec.structs.replace(recipe, seed=recipe.seed + 1)


@pytest.fixture
def recipe() -> DecoderRecipe:
    tiny = load_recipe("tiny")
    assert isinstance(tiny, DecoderRecipe)
    return tiny


@pytest.fixture
def older(recipe: DecoderRecipe, tmp_path: Path) -> tuple[Networks, Path]:
    """A finished run, and its checkpoint."""
    networks = build_networks(recipe, RANGES)
    networks.add_known(PEOPLE)
    path = tmp_path / "final.pt"
    state = {
        "recipe": msgspec.json.encode(recipe).decode(),
        "networks": networks.state(),
        "position": {"images": 12_300, "seconds": 90.0},
        "ancestors": [{"recipe": "grandmother", "kimg": 5.0, "minutes": 1.0}],
    }
    save_checkpoint(path, state)
    return networks, path


def test_averaged_weights_and_people_are_taken_over_and_the_ancestors_told(
    recipe: DecoderRecipe, older: tuple[Networks, Path]
) -> None:
    before, path = older
    networks = build_networks(other_seed(recipe), RANGES)
    told = begin_from(networks, path, PEOPLE)
    assert told == (Ancestor("grandmother", 5.0, 1.0), Ancestor(recipe.name, 12.3, 1.5))
    w, controls = torch.randn(2, recipe.model.w_dim), torch.zeros(2, 2)
    expected = before.generator_ema(w, controls)
    for generator in (networks.generator, networks.generator_ema):
        assert torch.equal(generator(w, controls), expected)
    assert networks.known is not None
    assert networks.known_ema is not None
    assert before.known_ema is not None
    who = torch.arange(3)
    assert torch.equal(networks.known_ema(who), before.known_ema(who))


def test_latents_of_other_people_are_left_behind(recipe: DecoderRecipe, older: tuple[Networks, Path]) -> None:
    networks = build_networks(other_seed(recipe), RANGES)
    begin_from(networks, older[1], PEOPLE + 1)
    assert networks.known is None


@pytest.mark.parametrize(
    "ranges", [[*RANGES, (0.0, 1.0, 0.0)], [(-2.0, 1.0, 0.0), RANGES[1]]], ids=["another number", "another range"]
)
def test_a_run_with_other_controls_is_refused(
    recipe: DecoderRecipe, older: tuple[Networks, Path], ranges: list[tuple[float, float, float]]
) -> None:
    with pytest.raises(CheckpointError, match=r"takes other controls.*omit \[start\]"):
        begin_from(build_networks(recipe, ranges), older[1], None)


def test_a_missing_checkpoint_is_a_clear_error(recipe: DecoderRecipe, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        begin_from(build_networks(recipe, RANGES), tmp_path / "final.pt", None)
