"""From a picture to attributes, and from these to the latent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.latents.people import WholeAttributes
from training.layers import Mlp, ResidualBlock, kaiming, lrelu, seen_at

SIZE_PX = 128  # enough to tell people apart; the last factor of two would cost four times the work
FOLD = 4


class Recogniser(nn.Module):
    """A residual network on premultiplied RGBA pictures.

    It predicts attributes, not latents: a hair style is one of eight, and a correct choice is exactly
    right, while a latent that is nearly right belongs to nobody.

    Args:
        whole: attributes to latent; categorical ones come as logits.
        channels: at 32 px and downwards.
        blocks: residual blocks there.
    """

    def __init__(self, whole: WholeAttributes, *, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4 * FOLD * FOLD, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(channels))
        for layer in (self.enter, *self.down):
            assert isinstance(layer, nn.Conv2d)
            kaiming(layer)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
            for width, count in zip(channels, blocks, strict=True)
        )
        smallest = SIZE_PX // FOLD // 2 ** len(self.down)
        self.out = Mlp(channels[-1] * smallest**2, 512, len(whole.lowest))
        nn.init.zeros_(self.out.layers[-1].weight)  # type: ignore[arg-type]  # begin with nobody in particular
        self.whole = whole

    def attributes(self, premultiplied: Tensor) -> Tensor:
        """[N, 4, S, S], 0..1, S a power of two -> [N, a], float32; words as logits."""
        x = self.blocks[0](lrelu(self.enter(F.pixel_unshuffle(seen_at(premultiplied, SIZE_PX) * 2 - 1, FOLD))))
        for down, block in zip(self.down, list(self.blocks)[1:], strict=True):
            x = block(lrelu(down(x)))
        found: Tensor = self.out(lrelu(x).flatten(1)).float()
        return found

    def forward(self, premultiplied: Tensor) -> Tensor:
        """[N, 4, S, S] as for `attributes` -> identity latents [N, w_dim], mean square 1."""
        with torch.autocast(premultiplied.device.type, enabled=False):
            latents: Tensor = self.whole(self.attributes(premultiplied))
        return latents
