"""Landmarks: they lie on the drawing, a data set stores them, and they supervise a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from runtime.composite.base import PLANES
from runtime.composite.references import REFERENCES
from training.animator.composite import shares
from training.cast import NAMED_CAST, render_layers, write_dataset
from training.cast.landmarks import landmarks_of_picture, landmarks_of_references
from training.data.landmarks import open_landmarks
from training.data.references import OPEN_POSE
from training.errors import DatasetError
from training.losses.bending import bending
from training.losses.landmarks import landmark_terms

HEAD, FRONT, OPEN = (REFERENCES.index(name) for name in ("head", "front", "open"))
SIZE = 512
BROWS, RIGHT_EYE, LIPS = range(8), range(8, 22), range(36, 50)
UPPER_LIDS = (*range(8, 13), *range(22, 27))
IRISES = (*range(17, 22), *range(31, 36))
HAIR, LOCKS, RIBBON, ALL = range(50, 115), range(115, 123), range(123, 136), 136


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "layers"
    write_dataset(
        folder, identities=3, frames_per_identity=3, named_frames=0, size_px=64, seed=4, layers=True, workers=1
    )
    return folder


@pytest.mark.parametrize("name", ["Aki", "Dante"])
@pytest.mark.parametrize(
    "controls", [{}, {"angry": 1.0, "headYaw": 20.0}, {"sad": 1.0, "headRoll": -15.0}, {"surprised": 1.0}, {"ee": 1.0}]
)
def test_points_of_brows_lids_and_lips_lie_on_ink(name: str, controls: dict[str, float]) -> None:
    who = NAMED_CAST[name]
    head = render_layers(who, controls, SIZE)["head"].astype(int)
    tones = head[..., :3].sum(2)
    skin = np.median(tones[head[..., 3] == 255])
    listed = landmarks_of_picture(who, controls, SIZE)
    points = [a or b for a, b in zip(listed["head"], listed["open"], strict=True)]
    for x, y in (points[index] for index in (*BROWS, *UPPER_LIDS, *LIPS)):  # type: ignore[misc]
        around = tones[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
        assert around.min() < skin - 60, (x, y)  # of 765; the outer ends of brows are thin


@pytest.mark.parametrize("name", ["Aki", "Lumi", "Dante"])
@pytest.mark.parametrize("controls", [{}, {"headYaw": 28.0, "headRoll": 8.0}, {"headYaw": -25.0, "hairSway": 0.7}])
def test_points_of_hair_lie_on_hair_in_front_and_only_where_it_faces_the_viewer(
    name: str, controls: dict[str, float]
) -> None:
    who = NAMED_CAST[name]
    front = render_layers(who, controls, SIZE)["front"][..., 3]
    listed = landmarks_of_picture(who, controls, SIZE)["front"]
    seen = [index for index, point in enumerate(listed) if point]
    for x, y in (listed[index] for index in seen):  # type: ignore[misc]
        assert front[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].max() == 255, (x, y)
    assert 35 <= len({*HAIR} & {*seen}) < len(HAIR) + (not controls)
    assert {*LOCKS} <= {*seen}
    assert {*RIBBON} & {*seen} == ({*RIBBON} if "ribbon" in who.accessories else set())


@pytest.mark.parametrize("yaw", [-25.0, 0.0, 20.0])
def test_points_of_a_ribbon_lie_on_it_and_hair_under_it_is_not_told(yaw: float) -> None:
    who = NAMED_CAST["Aki"]
    bare = msgspec.structs.replace(who, accessories=())
    with_it, without = (render_layers(each, {"headYaw": yaw}, SIZE)["front"].astype(int) for each in (who, bare))
    covered = np.abs(with_it - without).sum(2) > 60
    listed = landmarks_of_picture(who, {"headYaw": yaw}, SIZE)["front"]
    around = {
        index: covered[int(point[1]) - 4 : int(point[1]) + 5, int(point[0]) - 4 : int(point[0]) + 5]
        for index, point in enumerate(listed)
        if point
    }
    assert all(around[index].any() for index in RIBBON)
    assert sum(bool(around[index].all()) for index in HAIR if index in around) <= 3  # it stands off the head


def test_every_point_belongs_to_the_references_that_show_it() -> None:
    who = NAMED_CAST["Aki"]
    rest, wink = (landmarks_of_picture(who, controls, SIZE) for controls in ({}, {"eyeBlinkRight": 1.0}))
    assert [index for index, point in enumerate(rest["head"]) if point is None] == [*IRISES, *range(50, ALL)]
    assert {index for index, point in enumerate(rest["inner"]) if point} <= set(IRISES)
    assert not any(rest["open"])
    assert {index for index, point in enumerate(rest["front"]) if point} <= {*range(50, ALL)}
    assert [index for index, point in enumerate(wink["open"]) if point] == list(UPPER_LIDS[:5])
    assert [index for index, point in enumerate(wink["head"]) if point is None] == sorted(
        {*RIGHT_EYE, *IRISES, *range(50, ALL)}
    )
    references = landmarks_of_references(who, OPEN_POSE, SIZE)
    assert references["head"] == rest["head"]
    assert [index for index, point in enumerate(references["open"]) if point] == [*UPPER_LIDS, *LIPS]


def test_a_data_set_keeps_them(drawn: Path) -> None:
    found = open_landmarks(drawn)
    assert found.frames.shape == (9, len(REFERENCES), ALL, 2)
    assert found.references.shape == (3, len(REFERENCES), ALL, 2)
    assert np.isfinite(found.references[:, HEAD, BROWS]).all()
    assert np.isfinite(found.references[:, OPEN, LIPS]).all()
    assert np.isnan(found.references[:, OPEN, BROWS]).all()
    assert np.isfinite(found.frames[:, HEAD, BROWS]).all()
    seen = found.frames[np.isfinite(found.frames)]
    assert ((seen > 0) & (seen < 1)).all()


def test_a_data_set_may_have_none(drawn: Path, tmp_path: Path) -> None:
    copy = _rewritten(drawn, tmp_path, lambda row: row.pop("landmarks"), all_of_them=True)
    assert open_landmarks(copy).frames.shape == (9, len(REFERENCES), 0, 2)


def test_lists_of_different_lengths_are_refused(drawn: Path, tmp_path: Path) -> None:
    copy = _rewritten(drawn, tmp_path, lambda row: row["landmarks"]["head"].pop())
    with pytest.raises(DatasetError, match="have 135 to 136 points"):
        open_landmarks(copy)


def test_points_too_far_away_are_refused(drawn: Path, tmp_path: Path) -> None:
    copy = _rewritten(drawn, tmp_path, lambda row: row["landmarks"]["head"].__setitem__(0, [1e300, 1.0]))
    with pytest.raises(DatasetError, match="too large"):
        open_landmarks(copy)


def test_a_straight_flow_does_not_bend_and_a_kink_costs_as_much_as_it_turns() -> None:
    along = torch.linspace(-1, 1, 8)
    straight = torch.stack([along.view(1, -1).expand(8, 8), 3 * along.view(-1, 1).expand(8, 8)])[None, None]
    assert float(bending(straight)) < 1e-6
    kinked = torch.zeros(1, 1, 2, 8, 8)
    kinked[..., 4:] = torch.arange(1, 5) * 0.2  # in x and y, along x: one of the six places in between turns by 0.2
    assert float(bending(kinked)) == pytest.approx(0.2 / 6, rel=1e-5)
    ripple = straight + 0.01 * torch.randn(straight.shape, generator=torch.Generator().manual_seed(2))
    assert float(bending(ripple)) > 0.01


def test_a_flow_that_fetches_them_from_their_place_costs_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    now = torch.rand((2, len(REFERENCES), 4, 2), generator=generator) * 0.6 + 0.2
    moved = torch.tensor([0.1, -0.05])
    then = now + moved / 2  # 0..1 is two half pictures
    flow = moved.view(1, 1, 2, 1, 1).expand(2, len(REFERENCES), 2, 8, 8).clone()
    everything = torch.ones(2, len(REFERENCES), 8, 8)
    terms = landmark_terms(flow, everything, now, then)
    assert float(terms["landmarks"]) < 2e-4
    assert float(terms["hidden"]) < 1e-6
    now[:, 1:] = float("nan")  # seen in one reference only: what the others do is all the same
    flow[:, 1:] = 7
    assert float(landmark_terms(flow, everything, now, then)["landmarks"]) < 2e-4
    terms = landmark_terms(flow + 0.3, everything / 2, now, then)
    assert float(terms["landmarks"]) == pytest.approx(0.3 * 2**0.5, abs=1e-3)
    assert float(terms["hidden"]) == pytest.approx(np.log(2), abs=1e-5)


def test_no_landmarks_cost_nothing_and_give_no_slope_that_is_not_finite() -> None:
    flow = torch.zeros(1, len(REFERENCES), 2, 8, 8, requires_grad=True)
    nowhere = torch.full((1, len(REFERENCES), 3, 2), float("nan"))
    terms = landmark_terms(flow, torch.zeros(1, len(REFERENCES), 8, 8), nowhere, nowhere)
    assert [float(term.detach()) for term in terms.values()] == [0, 0]
    terms["landmarks"].backward()
    assert flow.grad is not None
    assert torch.isfinite(flow.grad).all()


def test_shares_of_the_head_are_divided() -> None:
    planes = torch.rand((1, len(PLANES), 4, 4), generator=torch.Generator().manual_seed(2))
    kept, drawn = planes[:, PLANES.index("keepHead")], planes[:, PLANES.index("drawn")]
    found = shares(planes)
    assert found.shape == (1, len(REFERENCES), 4, 4)
    torch.testing.assert_close(found[:, HEAD] + found[:, OPEN] * (1 - drawn), kept * (1 - drawn))
    torch.testing.assert_close(found[:, FRONT], planes[:, PLANES.index("keepFront")])


def _rewritten(
    drawn: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], *, all_of_them: bool = False
) -> Path:
    """A copy in which the first row of each table, or every row, is changed."""
    copy = tmp_path / "copy"
    shutil.copytree(drawn, copy)
    for name in ("frames.jsonl", "identities.jsonl"):
        rows = [json.loads(line) for line in (copy / name).read_text().splitlines()]
        for row in rows if all_of_them else rows[:1]:
            change(row)
        (copy / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return copy
