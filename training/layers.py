"""Shared network layers.

Plain 3x3 convolutions with LeakyReLU, no normalisation, no grouped or depthwise convolution: int8 backends and
TensorRT run those slowly. A code scales and shifts the channels of a trunk (the scale form of the
modulated convolution of StyleGAN2, Karras 2020, arXiv:1912.04958, without dynamic weights).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2


def lrelu(x: Tensor) -> Tensor:
    """LeakyReLU with the slope shared by all networks here; ONNX Runtime fuses it into the convolution."""
    return F.leaky_relu(x, SLOPE)


def unit_size(x: Tensor) -> Tensor:
    """Scale each row of [N, d] to a mean square of 1: codes must not grow during training."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


def seen_at(pictures: Tensor, size_px: int) -> Tensor:
    """Pictures [N, C, S, S], S a power of two -> [N, C, size_px, size_px]: averaged, or their pixels repeated."""
    size = pictures.shape[-1]
    if size > size_px:
        return F.avg_pool2d(pictures, size // size_px)
    return F.interpolate(pictures, size=size_px, mode="nearest") if size < size_px else pictures


def kaiming(module: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """He initialisation for LeakyReLU (He 2015, arXiv:1502.01852), times `gain`; biases start at zero."""
    nn.init.kaiming_normal_(module.weight, SLOPE, nonlinearity="leaky_relu")
    with torch.no_grad():
        module.weight.mul_(gain)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class Mlp(nn.Module):
    """Fully connected layers with LeakyReLU between them, none after the last."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            kaiming(layer)

    def forward(self, x: Tensor) -> Tensor:
        """[N, sizes[0]] -> [N, sizes[-1]]."""
        for layer in self.layers[:-1]:
            x = lrelu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


def _residual_pair(channels: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Two 3x3 convolutions, the last starting at zero (Fixup, Zhang 2019, arXiv:1901.09321)."""
    a = nn.Conv2d(channels, channels, 3, padding=1)
    b = nn.Conv2d(channels, channels, 3, padding=1)
    kaiming(a)
    nn.init.zeros_(b.weight)
    assert b.bias is not None
    nn.init.zeros_(b.bias)
    return a, b


class ResidualBlock(nn.Module):
    """x + b(act(a(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = _residual_pair(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        out: Tensor = x + self.b(lrelu(self.a(x)))
        return out


class ModulatedBlock(nn.Module):
    """A residual block whose hidden convolution is scaled at its input and output, and shifted, by the code."""

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.a, self.b = _residual_pair(channels)
        self.affine = nn.Linear(code_dim, 3 * channels)
        nn.init.normal_(self.affine.weight, std=0.5 / code_dim**0.5)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """[N, C, H, W] and code [N, code_dim] -> [N, C, H, W]."""
        # A split into fixed sizes: a chunk would be exported as shape arithmetic.
        scale_in, scale_out, shift = self.affine(code)[:, :, None, None].split(self.a.in_channels, 1)
        # Bounded scales: their products through the trunk must not diverge at a high learning rate.
        hidden = self.a(x * (1 + torch.tanh(scale_in))) * (1 + torch.tanh(scale_out)) + shift
        out: Tensor = x + self.b(lrelu(hidden))
        return out


def control_scale(controls: Sequence[tuple[float, float, float]]) -> tuple[Tensor, Tensor]:
    """Lowest values and 2 / range, so that (x - lowest) * scale - 1 lies in -1..1."""
    low = torch.tensor([c[0] for c in controls], dtype=torch.float32)
    high = torch.tensor([c[1] for c in controls], dtype=torch.float32)
    return low, 2.0 / (high - low)
