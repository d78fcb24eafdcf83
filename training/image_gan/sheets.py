"""Sheets of the dense GAN: pictures from seeds, interpolations, and nearest neighbours."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.data.dataset import Uint8
from training.image_gan.distances import nearest
from training.sheets import write_sheet

if TYPE_CHECKING:
    from training.image_gan.dense import DenseTask

SHOWN_PX = 96  # small pictures are enlarged to about this, by repeating pixels


def write_seeds(task: DenseTask, path: Path, *, seed: int = 0, psi: float = 1.0) -> None:
    """Sixty-four seeds, in rows of eight."""
    drawn = task.draw(task.latents(range(seed, seed + 64), psi=psi))
    write_sheet(path, _shown(drawn), columns=8)


def write_walks(task: DenseTask, path: Path, *, seed: int = 0, psi: float = 1.0) -> None:
    """Each row interpolates linearly from one seed to the next, like the runtime."""
    ends = task.latents(range(seed, seed + 7), psi=psi)
    amounts = torch.linspace(0, 1, 8)[:, None]
    walks = torch.cat([torch.lerp(a, b, amounts) for a, b in pairwise(ends)])
    labels = [f"{number} to {number + 1}" for number in range(seed, seed + 6)]
    write_sheet(path, _shown(task.draw(walks)), columns=8, row_labels=labels)


def write_nearest(task: DenseTask, path: Path, *, seeds: int = 12) -> None:
    """Pictures from seeds, each above the nearest training picture: a copy would show."""
    drawn, known = task.draw(task.latents(range(seeds))), task.pictures(task.split.train)
    _, rows = nearest(drawn, known)
    write_sheet(path, _shown(torch.cat([drawn, known[rows]])), columns=seeds, row_labels=("drawn", "nearest"))


def _shown(pictures: Tensor) -> Uint8:
    """RGB [N, 3, S, S], -1..1 -> uint8 RGBA, large enough to look at."""
    straight = bytes_of(pictures)
    factor = max(1, SHOWN_PX // straight.shape[1])
    return straight.repeat(factor, 1).repeat(factor, 2)


def bytes_of(pictures: Tensor) -> Uint8:
    """RGB [N, 3, S, S], -1..1 -> uint8 [N, S, S, 4], solid."""
    rgb = (pictures.movedim(1, -1) * 127.5 + 127.5).round().clamp(0, 255).byte().cpu().numpy()
    return np.concatenate([rgb, np.full((*rgb.shape[:3], 1), 255, np.uint8)], -1)
