"""From a picture to the latent of its person."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from training.layers import Mlp, kaiming, lrelu, seen_at, unit_size

ENCODER_SIZE_PX: Final = 128


class Encoder(nn.Module):
    """Premultiplied RGBA picture -> its identity latent.

    Sees at most 128 px: enough to tell people apart, and the last factor of two would cost four times
    the work.
    """

    def __init__(self, *, w_dim: int, channels: Sequence[int] = (64, 96, 128, 192, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(16, channels[0], 3, padding=1)]
        for a, b in itertools.pairwise(channels):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.Conv2d(b, b, 3, padding=1)]
        self.layers = nn.ModuleList(layers)
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            kaiming(layer)
        smallest = ENCODER_SIZE_PX // 2 ** len(channels)
        self.out = Mlp(channels[-1] * smallest**2, 512, w_dim)

    def forward(self, premultiplied: Tensor) -> Tensor:
        """[N, 4, S, S], 0..1, S a power of two -> [N, w_dim], mean square 1."""
        x = F.pixel_unshuffle(seen_at(premultiplied, ENCODER_SIZE_PX) * 2 - 1, 2)
        for layer in self.layers:
            x = lrelu(layer(x))
        return unit_size(self.out(x.flatten(1)))
