"""Recipes: shipped ones are valid, mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.decoder.recipe import DecoderRecipe
from training.errors import RecipeError
from training.recipe import RECIPES, load_recipe

SMALL = """
name = "x"
task = "decoder"
[data]
path = "d"
[[stage]]
kimg = 1
size_px = 256
"""


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert load_recipe(path.stem).name == path.stem


def test_overrides_reach_into_sections_and_stages(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(SMALL)
    recipe = load_recipe(file, ("data.path=elsewhere", "stage.0.lr=5e-4", "seed=7"))
    assert (recipe.data.path, recipe.stage[0].lr, recipe.seed) == ("elsewhere", 5e-4, 7)


def test_a_stage_may_look_harder_at_eyes_and_mouths_than_the_others(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(SMALL + "mouth = 0\n[[stage]]\nkimg = 1\nsize_px = 256\neyes = 3\n[loss]\neyes = 10\nmouth = 40\n")
    recipe = load_recipe(file)
    assert isinstance(recipe, DecoderRecipe)
    assert [recipe.emphasis(stage) for stage in recipe.stage] == [(10, 0), (3, 40)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (SMALL + "speed = 3\n", "speed"),
        (SMALL.replace("kimg = 1", 'kimg = "much"'), "kimg"),
        (SMALL.replace("size_px = 256", "size_px = 200"), "200 px"),
        (SMALL + "batch = 3\n", "batch 3"),
        (SMALL.replace("kimg = 1", "kimg = 0"), "above 0"),
        (SMALL.partition("[[stage]]")[0] + "stage = []\n", "stage"),
        ("name = ", "TOML"),
        (SMALL + "[model]\nblocks = [1]\n", "blocks"),
        (SMALL + "[distil]\nshare = 0.5\n", r"\[distil\].*\[start\]"),
        (SMALL.replace('"decoder"', '"dreamer"'), "no task 'dreamer'"),
        (SMALL.replace('"decoder"', "[1]"), "no task"),
        (SMALL + 'objectives = ["speed"]\n', "objectives"),
        (SMALL + 'objectives = ["pairs", "adversarial"]\n', "exactly one"),
        (SMALL + 'objectives = ["distillation"]\n', "exactly one"),
        (SMALL + 'objectives = ["pairs", "distillation"]\n', "teacher"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_field_named(tmp_path: Path, text: str, names: str) -> None:
    file = tmp_path / "r.toml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=names):
        load_recipe(file)


@pytest.mark.parametrize("override", ["data.path", "stage.9.lr=1", "stage.x.lr=1", "name.x=1"])
def test_a_wrong_override_is_refused(tmp_path: Path, override: str) -> None:
    file = tmp_path / "r.toml"
    file.write_text(SMALL)
    with pytest.raises(RecipeError, match="--set"):
        load_recipe(file, (override,))


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match="aki"):
        load_recipe("akki")


def test_a_recipe_without_a_task_is_one_of_the_decoder(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(SMALL.replace('task = "decoder"', ""))
    assert load_recipe(file).task == "decoder"
