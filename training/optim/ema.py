"""Averaged weights, for evaluation and export."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, *, images: int, batch: int, half_life: float) -> None:
    """Move `average` towards `current` by one step.

    The half-life grows with the run to its full length, as in StyleGAN2-ADA (Karras 2020,
    arXiv:2006.06676), so that early pictures are not those of the initial weights.

    Args:
        average: changed in place.
        current: same architecture.
        images: pictures shown so far.
        batch: pictures in this step.
        half_life: full half-life in pictures.
    """
    decay = 0.5 ** (batch / max(min(half_life, images * 0.05), 1e-8))
    # Fabric's wrapper around a module keeps the order of parameters but not their names.
    targets: list[Tensor] = list(average.parameters())
    sources: list[Tensor] = list(current.parameters())
    torch._foreach_lerp_(targets, sources, 1 - decay)
    for target, source in zip(average.buffers(), current.buffers(), strict=True):
        target.copy_(source)
