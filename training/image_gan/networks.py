"""The two networks of the dense GAN."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from training.image_gan.recipe import Model

SLOPE = 0.2  # of LeakyReLU below zero


class Generator(nn.Module):
    """A latent -> a picture.

    Args:
        model: sizes.
        size_px: side of the pictures.
    """

    def __init__(self, model: Model, size_px: int) -> None:
        super().__init__()
        self.size_px = size_px
        sizes = (model.z_dim, *model.widths, 3 * size_px**2)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.bend = nn.LeakyReLU(SLOPE)

    def forward(self, z: Tensor) -> Tensor:
        """[N, z_dim], standard normal -> RGB [N, 3, S, S], -1..1."""
        x = z
        for layer in self.layers[:-1]:
            x = self.bend(layer(x))
        pictures: Tensor = self.layers[-1](x).tanh().view(-1, 3, self.size_px, self.size_px)
        return pictures


class Discriminator(nn.Module):
    """A picture -> whether it is real: the mirrored generator, with dropout.

    Args:
        model: sizes.
        size_px: side of the pictures.
    """

    def __init__(self, model: Model, size_px: int) -> None:
        super().__init__()
        sizes = (3 * size_px**2, *reversed(model.widths), 1)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.bend = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Dropout(model.dropout))

    def forward(self, pictures: Tensor) -> Tensor:
        """RGB [N, 3, S, S], -1..1 -> logits [N], above 0 if it looks real."""
        x = pictures.flatten(1)
        for layer in self.layers[:-1]:
            x = self.bend(layer(x))
        logits: Tensor = self.layers[-1](x).squeeze(1)
        return logits
