"""Sheets of the portrait generator: known people beside their portraits, and new people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.animator.composite import over
from training.pictures import unpremultiply
from training.sheets import write_sheet

if TYPE_CHECKING:
    from training.portrait.task import PortraitTask


def draw_sheets(task: PortraitTask, folder: Path, stamp: str, *, seed: int = 0, psi: float = 1.0) -> list[Path]:
    """Held-out people, ground truth and drawn; and, once there is a prior, sixty-four people from seeds.

    Args:
        task: an opened run.
        folder: for the sheets.
        stamp: prefix of the file names.
        seed: of the first of the new people.
        psi: their distance from the average.

    Returns:
        the files.
    """
    files = [folder / f"{stamp}held-out.png"]
    people = task.held_out[np.linspace(0, len(task.held_out) - 1, min(12, len(task.held_out))).astype(int)]
    both = torch.stack([task.wanted(people), task.draw(task.latents(people))], 1).flatten(0, 1)
    write_sheet(files[0], picture_of(both), columns=8)
    if task.mapping is not None:
        files.append(folder / f"{stamp}people.png")
        everybody = task.draw(task.sampled(range(seed, seed + 64), psi=psi))
        write_sheet(files[1], picture_of(everybody), columns=8)
    return files


def picture_of(references: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Everyone at rest: references [N, R, 4, S, S] -> uint8 [N, S, S, 4], straight."""
    whole = over(references[:, :-1]).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    return unpremultiply(whole.cpu().numpy())
