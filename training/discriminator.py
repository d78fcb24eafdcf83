"""The network that judges what another one draws."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from training.layers import Mlp, kaiming, lrelu


class PatchDiscriminator(nn.Module):
    """Pictures and a condition (what they should show) -> a map of realness, conditional by projection.

    A map instead of a number: line art is judged patch by patch (PatchGAN, Isola 2017, arXiv:1611.07004); the pooled
    features times an embedding of the condition say whether the picture fits it (projection discriminator, Miyato 2018,
    arXiv:1802.05637).

    Args:
        in_channels: of a picture.
        condition_dim: size of the condition.
        channels: from half the picture's side on, each at half of the previous size.
    """

    def __init__(self, *, in_channels: int, condition_dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4 * in_channels, channels[0], 3, padding=1)]
        for a, b in itertools.pairwise(channels):
            layers.append(nn.Conv2d(a, b, 4, stride=2, padding=1))
        self.layers = nn.ModuleList(layers)
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            kaiming(layer)
        self.realness = nn.Conv2d(channels[-1], 1, 3, padding=1)
        self.fit = nn.Conv2d(channels[-1], channels[-1], 3, stride=2, padding=1)
        kaiming(self.fit)
        self.embed = Mlp(condition_dim, 128, channels[-1])

    def forward(self, pictures: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge.

        Args:
            pictures: float [N, in_channels, S, S], 0..1.
            condition: float [N, condition_dim].

        Returns:
            realness [N, 1, S', S'], higher is more real; hidden features for feature matching.
        """
        x = F.pixel_unshuffle(pictures * 2 - 1, 2)
        features = []
        for layer in self.layers:
            x = lrelu(layer(x))
            features.append(x)
        embedding = self.embed(condition)
        pooled = lrelu(self.fit(x)).mean((2, 3))
        fit = (pooled * embedding).sum(1) / embedding.shape[1] ** 0.5
        return self.realness(x) + fit[:, None, None, None], features
