"""Random styles: all pictures of a person change alike, and boxes follow."""

from __future__ import annotations

import torch

from training.animator.restyle import Restyle


def _squares(people: int, each: int, size: int = 64) -> torch.Tensor:
    """A painted square on a clear ground, premultiplied: [people * each, 4, size, size]."""
    pictures = torch.zeros(people * each, 4, size, size)
    pictures[:, :, 20:40, 24:44] = torch.tensor([0.2, 0.5, 0.8, 1.0]).view(1, 4, 1, 1)
    return pictures


def _drawn(people: int, share: float, seed: int) -> Restyle:
    return Restyle.drawn(people, share, torch.Generator().manual_seed(seed))


def test_nobody_is_changed_without_a_share_and_everybody_with_all_of_it() -> None:
    pictures = _squares(5, 2)
    assert torch.equal(_drawn(5, 0.0, 1).pictures(pictures), pictures)
    changed = _drawn(5, 1.0, 1).pictures(pictures)
    assert ((changed - pictures).abs().amax((1, 2, 3)) > 0.01).all()
    assert torch.equal(_drawn(5, 1.0, 1).pictures(pictures), changed)
    assert not torch.equal(_drawn(5, 1.0, 2).pictures(pictures), changed)


def test_all_pictures_of_a_person_change_alike_and_stay_premultiplied() -> None:
    for seed in range(8):
        style = _drawn(4, 1.0, seed)
        targets = style.pictures(_squares(4, 3)).view(4, 3, 4, 64, 64)
        references = style.pictures(_squares(4, 5).view(4, 5, 4, 64, 64))
        assert (targets == targets[:, :1]).all()
        assert torch.equal(targets[:, 0], references[:, 0])
        assert (targets >= 0).all()
        assert (targets[:, :, :3] <= targets[:, :, 3:] + 1e-6).all()


def test_boxes_follow_the_figure() -> None:
    moved = 0
    for seed in range(12):
        style = _drawn(3, 1.0, seed)
        boxes = torch.tensor([24 / 64, 20 / 64, 44 / 64, 40 / 64]).expand(6, 2, 4)
        pictures = style.pictures(_squares(3, 2), small=True)
        for picture, box in zip(pictures, style.boxes(boxes)[:, 0] * 64, strict=True):
            rows, columns = (picture[3].amax(axis) > 0.5 for axis in (1, 0))
            y, x = rows.nonzero()[:, 0], columns.nonzero()[:, 0]
            edges = torch.tensor([x[0], y[0], x[-1] + 1, y[-1] + 1])
            assert (edges - box).abs().max() <= 1
            moved += int((box - torch.tensor([24, 20, 44, 40])).abs().max() > 0.5)
    assert moved > 10
