"""The dense generator as ONNX bytes, in the form of a character file."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.image_gan.networks import SLOPE, Generator
from training.onnx_export import onnx_of


class _Pictures(nn.Module):
    """A latent and a control that stays at 0 -> solid RGBA bytes.

    A fully connected layer is a convolution of a one-pixel picture, and is exported as one: the precision gate
    quantises convolutions.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.size_px = generator.size_px
        self.layers = nn.ModuleList(_convolution(cast(nn.Linear, layer)) for layer in generator.layers)

    def forward(self, w: Tensor, controls: Tensor) -> Tensor:
        # Added, so that no inference library drops it as an unused input.
        x = (w + controls)[..., None, None]
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), SLOPE)
        rgb = self.layers[-1](x).tanh().reshape(-1, 3, self.size_px, self.size_px) * 127.5 + 128
        rgba = torch.cat([rgb, rgb[:, :1] * 0 + 255], 1)
        # The cast last: TensorRT's parser takes bytes only at the ends of a graph.
        return rgba.permute(0, 2, 3, 1).clamp(0, 255).to(torch.uint8)


class _Same(nn.Module):
    """Seeds are latents themselves."""

    def forward(self, z: Tensor) -> Tensor:
        return z.clone()


def generator_graph(generator: Generator, z_dim: int) -> bytes:
    """`w` float32 [N, z_dim] and `controls` float32 [N, 1], always 0 -> `rgba` uint8 [N, S, S, 4]."""
    example = (torch.zeros(2, z_dim), torch.zeros(2, 1))
    return onnx_of(_Pictures(generator), example, ["w", "controls"], ["rgba"])


def mapping_graph(z_dim: int) -> bytes:
    """`z` float32 [N, z_dim] -> the same as `w`."""
    return onnx_of(_Same(), (torch.zeros(2, z_dim),), ["z"], ["w"])


def _convolution(layer: nn.Linear) -> nn.Conv2d:
    same = nn.Conv2d(layer.in_features, layer.out_features, 1)
    same.load_state_dict({"weight": layer.weight[..., None, None], "bias": layer.bias})
    return same
