"""The reconstruction loss, with a hand-written gradient.

Every term is a mean absolute error, whose gradient is a sign. Computing it with the value, picture by picture while
that is in the cache, takes half the time of automatic differentiation, and a tenth off a training step.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BLEED_FROM = 0.02  # alpha; a texture filter mixes clear pixels below it into neighbours above it


def reconstruction_loss(
    straight: Tensor, target: Tensor, weight: Tensor, *, gradient: float, bleed: float
) -> tuple[Tensor, Tensor]:
    """Difference between a drawn picture and its ground truth.

    Three terms. `pixel`: weighted mean absolute error of premultiplied RGBA. `gradient`: the same of neighbouring
    differences, at full and half size; keeps lines sharp. `bleed`: straight colour of clear pixels next to the
    silhouette against the colour inside; a texture filter mixes those pixels into the edge, so they must not be black
    or random.

    Args:
        straight: float32 [N, 4, S, S], drawn, not clamped. Its colour is premultiplied by the *target's* alpha: with
            its own, the product of two unclamped outputs can diverge early in training. Alpha below 0 where it
            should be 0, and above 1 where it should be 1, is not an error: it is clipped before display, and a
            network held to the exact number is above it half of the time, as a haze.
        target: float32 [N, 4, S, S], premultiplied.
        weight: float32 [N, 1, S, S], of pixels.
        gradient: weight of that term.
        bleed: weight of that term.

    Returns:
        The weighted sum, a scalar, differentiable in `straight`, and the three terms, float32 [3].
    """
    out: tuple[Tensor, Tensor] = _Reconstruction.apply(straight, target, weight, gradient, bleed)  # type: ignore[no-untyped-call]
    return out


class _Reconstruction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, straight: Tensor, target: Tensor, weight: Tensor, gradient: float, bleed: float
    ) -> tuple[Tensor, Tensor]:
        slopes = torch.empty_like(straight)
        terms = torch.stack(
            [_one(*rows, gradient, bleed) for rows in zip(straight, target, weight, slopes, strict=True)]
        ).mean(0)
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(terms)
        return terms[0] + gradient * terms[1] + bleed * terms[2], terms

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * (upstream[0] / len(slopes)), None, None, None, None


def _one(straight: Tensor, target: Tensor, weight: Tensor, slopes: Tensor, gradient: float, bleed: float) -> Tensor:
    """The terms of one picture; the gradient of their weighted sum goes into `slopes`, [4, S, S] like the pictures."""
    straight, target = straight.contiguous(), target.contiguous()
    alpha = target[3:]
    error = torch.cat([straight[:3] * alpha, straight[3:]]).sub_(target)
    cut_off = ((alpha <= 0) & (error[3:] < 0)) | ((alpha >= 1) & (error[3:] > 0))
    error[3:].masked_fill_(cut_off, 0.0)
    slope = torch.zeros_like(error)
    pixel = absolute(error, weight, 1.0, slope)
    half, half_slope = F.avg_pool2d(error, 2), torch.zeros_like(error[:, ::2, ::2])
    edges = differences(error, weight, gradient, slope)
    edges = edges + differences(half, F.avg_pool2d(weight, 2), gradient, half_slope)
    slope.add_(half_slope.repeat_interleave(2, 1).repeat_interleave(2, 2), alpha=0.25)
    slope[:3].mul_(alpha)
    slope[3:].masked_fill_(cut_off, 0.0)

    # Spread at a quarter of the size: a wide pooling window at full size costs as much as the generator.
    spread = F.avg_pool2d(F.avg_pool2d(target[None], 4), 3, stride=1, padding=1)
    spread = F.interpolate(spread, scale_factor=4.0, mode="nearest")[0]
    near = ((spread[3:] > BLEED_FROM) & (alpha < BLEED_FROM)).float()
    outside = straight[:3] - spread[:3] / spread[3:].clamp_min(BLEED_FROM)
    bled = absolute(outside, near, bleed, slope[:3])
    slopes.copy_(slope)
    return torch.stack([pixel, edges, bled])


def absolute(error: Tensor, weight: Tensor, share: float, slope: Tensor) -> Tensor:
    """Weighted mean of |error|; its gradient times `share` is added to `slope`."""
    push = error.sign().mul_(weight)
    slope.add_(push, alpha=share / error.numel())
    return torch.dot(push.flatten(), error.flatten()) / error.numel()


def differences(error: Tensor, weight: Tensor, share: float, slope: Tensor) -> Tensor:
    """Weighted mean of |difference of neighbours|, across and down; its gradient times `share` is added to `slope`."""
    total = error.new_zeros(())
    for axis in (1, 2):
        steps = error.shape[axis] - 1
        step = error.narrow(axis, 1, steps) - error.narrow(axis, 0, steps)
        push = step.sign().mul_(weight.narrow(axis, 1, steps))
        total = total + torch.dot(push.flatten(), step.flatten()) / step.numel()
        slope.narrow(axis, 1, steps).add_(push, alpha=share / step.numel())
        slope.narrow(axis, 0, steps).sub_(push, alpha=share / step.numel())
    return total
