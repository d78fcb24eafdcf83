"""Loss terms; every function returns a scalar tensor.

Pictures are float32 [N, 4, S, S] in 0..1. Predictions are straight RGBA and unclamped, targets premultiplied.
"""

from __future__ import annotations

import torch
from torch import Tensor


def premultiply(straight: Tensor) -> Tensor:
    """Convert straight RGBA, clamped to 0..1, to premultiplied RGBA, as shown by a viewer."""
    straight = straight.clamp(0, 1)
    alpha = straight[:, 3:]
    return torch.cat([straight[:, :3] * alpha, alpha], 1)


def region_weights(regions: Tensor, size_px: int, eyes: float, mouth: float) -> Tensor:
    """Weight of every pixel.

    Args:
        regions: [N, 3, 4] boxes of left eye, right eye, mouth: x0, y0, x1, y1 in 0..1; a zero box counts nowhere.
        size_px: S.
        eyes: added inside either eye box.
        mouth: added inside the mouth box.

    Returns:
        [N, 1, S, S], 1 outside all boxes.
    """
    centre = (torch.arange(size_px, device=regions.device) + 0.5) / size_px
    inside_x = (centre >= regions[..., 0:1]) & (centre < regions[..., 2:3])
    inside_y = (centre >= regions[..., 1:2]) & (centre < regions[..., 3:4])
    inside = (inside_y[..., :, None] & inside_x[..., None, :]).float()
    extra = eyes * inside[:, :2].amax(1, keepdim=True) + mouth * inside[:, 2:3]
    return 1 + extra


def consistency_loss(latent: Tensor) -> Tensor:
    """Mean squared difference of the two latents of each pair, rows 2i and 2i + 1."""
    return (latent[0::2] - latent[1::2]).square().mean()
