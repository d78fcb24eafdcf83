"""Checkpoints: finite numbers only, never read when damaged, no code; the previous one is kept."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.checkpoint import PARTS, load_checkpoint, not_finite, previous_of, save_checkpoint
from training.errors import CheckpointError, TrainingError

STATE: dict[str, Any] = {
    "recipe": "{}",
    "data_digest": "d",
    "networks": {"generator": {"weight": torch.ones(3, 4), "count": torch.tensor(7)}},
    "optimizers": {"adam": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}},
    "position": {"images": 1500},
}


def with_value(value: float, *, part: str = "networks") -> dict[str, Any]:
    """The state with one number changed."""
    if part == "networks":
        return {**STATE, "networks": {"generator": {"weight": torch.tensor([1.0, value])}}}
    return {**STATE, "optimizers": {"adam": {"state": {0: {"exp_avg": torch.tensor([value])}}}}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", ["networks", "optimizers"])
def test_numbers_that_are_not_finite_never_reach_the_disk(tmp_path: Path, value: float, part: str) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=rf"{part}\.\S+ is not finite. What was there before is untouched"):
        save_checkpoint(path, with_value(value, part=part))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt"]


def test_a_checkpoint_of_broken_weights_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"format": 1, **with_value(float("nan"))}, path)
    with pytest.raises(CheckpointError, match=r"generator\.weight is not finite, so the run diverged"):
        load_checkpoint(path)


def test_all_places_with_broken_numbers_are_named() -> None:
    broken = {"a": [torch.ones(2), torch.tensor([float("nan")])], "b": {"c": torch.tensor([1, 2])}}
    assert not_finite(broken) == ["a.1"]
    assert not_finite(STATE) == []


def test_the_checkpoint_before_is_kept_and_offered_when_the_last_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    save_checkpoint(path, {**STATE, "position": {"images": 2500}})
    assert load_checkpoint(path)["position"]["images"] == 2500
    assert load_checkpoint(previous_of(path))["position"]["images"] == 1500
    for damage in (b"", b"no zip", path.read_bytes()[:-200], path.read_bytes()[:500]):
        path.unlink()
        path.write_bytes(damage)
        with pytest.raises(CheckpointError, match=r"previous one is intact, at 1\.5 kimg.*move .*previous\.pt to"):
            load_checkpoint(path)
    assert load_checkpoint(previous_of(path))["position"]["images"] == 1500


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(3, 4).numpy().tobytes()) + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "hostile.pt"
    torch.save({"format": 1, **STATE, "extra": Hostile()}, path)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", PARTS)
def test_a_file_that_lacks_a_part_says_which(tmp_path: Path, part: str) -> None:
    path = tmp_path / "some.pt"
    torch.save({"format": 1, **{name: value for name, value in STATE.items() if name != part}}, path)
    with pytest.raises(CheckpointError, match=f"it has no {part}"):
        load_checkpoint(path, *PARTS)


_BUFFER = io.BytesIO()
torch.save({"format": 1, **STATE}, _BUFFER)
WHOLE = _BUFFER.getvalue()


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(0, len(WHOLE)),
    flips=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), max_size=4),
)
def test_any_damage_is_an_error_of_ours_or_none_at_all(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(WHOLE)
    for place, mask in flips:
        data[place] ^= mask
    path = tmp_path_factory.getbasetemp() / "mutant.pt"
    path.write_bytes(data[: cut or None])
    try:
        state = load_checkpoint(path)
    except CheckpointError:
        return
    # Damage in what no reader looks at.
    assert torch.equal(state["networks"]["generator"]["weight"], torch.ones(3, 4))
