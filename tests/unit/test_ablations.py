"""The ablations omit what they claim, and nothing else."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the animator is trained with torch: pip install bunraku[train]")

from runtime.composite.references import LAYERS, REFERENCES  # noqa: E402
from training.animator.composite import OPEN, over  # noqa: E402

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "ablations.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def references() -> Any:
    """Two people in layers, premultiplied."""
    torch.manual_seed(3)
    straight = torch.rand(2, len(REFERENCES), 4, 16, 16)
    return torch.cat([straight[:, :, :3] * straight[:, :, 3:], straight[:, :, 3:]], 2)


@pytest.mark.parametrize(("name", "flows"), [("OneFlow", 1), ("TwoFlows", 2)])
def test_fewer_layers_show_the_same_picture(script: dict[str, Any], name: str, flows: int) -> None:
    given = references()
    merged = script[name]._seen(script[name], given)
    torch.testing.assert_close(over(merged[:, : len(LAYERS)]), over(given[:, : len(LAYERS)]))
    assert int(merged[:, : len(LAYERS)].flatten(2).any(2).all(0).sum()) == flows


def test_with_nothing_open_the_head_is_seen_at_rest(script: dict[str, Any]) -> None:
    given = references()
    seen = script["NeverOpen"]._seen(script["NeverOpen"], given)
    torch.testing.assert_close(seen[:, OPEN], given[:, LAYERS.index("head")])
    torch.testing.assert_close(seen[:, : len(LAYERS)], given[:, : len(LAYERS)])


def test_landmarks_go_where_what_they_are_of_has_gone(script: dict[str, Any]) -> None:
    points = torch.full((2, 1, len(REFERENCES), len(REFERENCES), 2), torch.nan)
    for index in range(len(REFERENCES)):
        points[:, :, index, index] = index  # one of each reference
    head = LAYERS.index("head")
    for name, expected in (
        ("OneFlow", {head: {0, 1, 2, 3, 4}, OPEN: {5}}),
        ("TwoFlows", {1: {0, 1}, head: {2, 3, 4}, OPEN: {5}}),
        ("NoInner", {0: {0}, 1: {1}, head: {2, 3}, 4: {4}, OPEN: {5}}),
        ("NeverOpen", {index: {index} for index in range(len(LAYERS))}),
    ):
        moved = script["_followed"](points, script[name].groups)
        seen = torch.isfinite(moved).all(4).all(0)[0]
        assert {i: {int(j) for j in row.nonzero()} for i, row in enumerate(seen) if row.any()} == expected, name
        assert all(moved[0, 0, into, point, 0] == point for into, group in expected.items() for point in group)


def test_recipes_differ_in_what_is_left_out(script: dict[str, Any], tmp_path: Path) -> None:
    recipes = {name: script["recipe_of"](variant, tmp_path) for name, variant in script["VARIANTS"].items()}
    whole = recipes["all"]
    assert all(recipe.model == whole.model for recipe in recipes.values())
    assert recipes["no-landmarks"].loss.landmarks == recipes["no-landmarks"].loss.hidden == 0 < whole.loss.landmarks
    assert [stage.restyled for stage in recipes["no-restyling"].stage] == [0, 0]
    assert [stage.adversarial for stage in recipes["adversarial"].stage] == [False, True]
    assert not any(stage.adversarial for stage in whole.stage)
    assert sum(stage.kimg for stage in whole.stage) == sum(stage.kimg for stage in recipes["adversarial"].stage)
