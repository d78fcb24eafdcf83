"""The loss of pictures made by moving others, with a hand-written gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.reconstruction import absolute, differences

COARSE = 8  # side of the averaged blocks, in pixels


@dataclass(frozen=True)
class MovedLoss:
    """Difference between premultiplied pictures and their ground truth.

    `w |x - y|  +  gradient w |d(x - y)|  +  coarse w |mean8(x - y)|`, where `d` are differences of neighbours at full
    and half size and `mean8` averages blocks of 8x8 pixels. Paint that is a few pixels off has almost
    no gradient at single pixels; the average of a block still gives the direction.

    Attributes:
        gradient: weight of that term.
        coarse: weight of that term.
    """

    gradient: float
    coarse: float

    def __call__(self, drawn: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Compare.

        Args:
            drawn: float32 [N, 4, S, S], premultiplied, S a multiple of 8.
            target: the same.
            weight: float32 [N, 1, S, S], of pixels.

        Returns:
            The weighted sum, a scalar, differentiable in `drawn`, and the three terms, float32 [3].
        """
        out: tuple[Tensor, Tensor] = _Moved.apply(drawn, target, weight, self.gradient, self.coarse)  # type: ignore[no-untyped-call]
        return out


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, drawn: Tensor, target: Tensor, weight: Tensor, gradient: float, coarse: float
    ) -> tuple[Tensor, Tensor]:
        slopes = torch.empty_like(drawn, memory_format=torch.contiguous_format)
        terms = torch.stack(
            [_one(*rows, gradient, coarse) for rows in zip(drawn, target, weight, slopes, strict=True)]
        ).mean(0)
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(terms)
        return terms[0] + gradient * terms[1] + coarse * terms[2], terms

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * (upstream[0] / len(slopes)), None, None, None, None


def _one(drawn: Tensor, target: Tensor, weight: Tensor, slopes: Tensor, gradient: float, coarse: float) -> Tensor:
    """The terms of one picture; the gradient of their weighted sum goes into `slopes`, [4, S, S] like the pictures."""
    error = (drawn - target).contiguous()
    slope = torch.zeros_like(error)
    pixel = absolute(error, weight, 1.0, slope)
    half = F.avg_pool2d(error, 2)
    half_slope = torch.zeros_like(half)
    edges = differences(error, weight, gradient, slope)
    edges = edges + differences(half, F.avg_pool2d(weight, 2), gradient, half_slope)
    blocks = F.avg_pool2d(half, COARSE // 2)
    block_slope = torch.zeros_like(blocks)
    far = absolute(blocks, F.avg_pool2d(weight, COARSE), coarse, block_slope)
    half_slope.add_(_spread(block_slope, COARSE // 2))
    slope.add_(_spread(half_slope, 2))
    slopes.copy_(slope)
    return torch.stack([pixel, edges, far])


def _spread(slope: Tensor, factor: int) -> Tensor:
    """The gradient of an average, distributed to its inputs."""
    return slope.repeat_interleave(factor, 1).repeat_interleave(factor, 2) / factor**2
