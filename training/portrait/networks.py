"""The portrait generator: from an identity latent to the references of a person.

Each reference is drawn by its own network, in three steps. Possible appearances are stored as feature maps,
which the latent mixes and warps (appearance apart from shape, as in active appearance models, Cootes 2001,
doi:10.1109/34.927467). A small modulated trunk makes them fit each other. The head gives, for every place, shares of
a few paints, whose colours come from the latent alone: so colours are right early, and edges stay sharp at any size,
because the logits of the shares are upsampled, not the picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.composite.base import CLEAR, SOLID
from runtime.composite.references import REFERENCES
from training.animator.composite import own_places
from training.layers import Mlp, ModulatedBlock, kaiming, lrelu, unit_size
from training.portrait.recipe import GRID, Model

NATIVE = 4 * GRID  # side at which the shares of the paints are computed
FARTHEST = 0.35  # half pictures; maximum warp of the memories
BEND_PX = 16  # side of the grid of warps
SHADING_PX = 32
NOTHING_AT_FIRST = 3.0  # logit: most of a picture is clear
MIXED, FOLLOWS = 0.4, 0.8  # change of a share within a pixel: paints are mixed, one follows another


class Reference(nn.Module):
    """One reference of a person.

    Args:
        model: sizes.
        memories: number of memories.
    """

    def __init__(self, model: Model, memories: int) -> None:
        super().__init__()
        self.sizes = model
        self.code = Mlp(model.w_dim, model.code_dim, model.code_dim)
        self.memories = nn.Parameter(torch.randn(memories, model.memory, GRID, GRID) * 0.5)
        self.warps = nn.Parameter(torch.zeros(model.warps, 2, BEND_PX, BEND_PX))
        self.mix = nn.Linear(model.code_dim, memories)
        self.bend = nn.Linear(model.code_dim, model.warps)
        self.enter = nn.Conv2d(model.memory, model.channels, 3, padding=1)
        kaiming(self.enter)
        self.trunk = nn.ModuleList(ModulatedBlock(model.channels, model.code_dim) for _ in range(model.blocks))
        self.unfold = NATIVE // GRID
        self.shares = nn.Conv2d(model.channels, (1 + model.paints) * self.unfold**2, 3, padding=1)
        nn.init.normal_(self.shares.weight, std=0.02)
        assert self.shares.bias is not None
        nn.init.zeros_(self.shares.bias)
        with torch.no_grad():
            self.shares.bias[: self.unfold**2] = NOTHING_AT_FIRST
        self.colours = Mlp(model.w_dim, model.code_dim, 3 * model.paints)
        self.shading = nn.Conv2d(model.channels, 3, 3, padding=1)
        nn.init.zeros_(self.shading.weight)
        assert self.shading.bias is not None
        nn.init.zeros_(self.shading.bias)

    def forward(self, w: Tensor, size_px: int) -> Tensor:
        """[N, w_dim] -> premultiplied RGBA, [N, 4, size_px, size_px]."""
        model = self.sizes
        code = lrelu(self.code(w))
        remembered = (self.mix(code) @ self.memories.flatten(1)).view(-1, model.memory, GRID, GRID)
        bends = (self.bend(code) @ self.warps.flatten(1)).view(-1, 2, BEND_PX, BEND_PX).float()
        bends = F.interpolate(bends, size=(GRID, GRID), mode="bilinear", align_corners=False)
        places = FARTHEST * torch.tanh(bends).permute(0, 2, 3, 1) + own_places(GRID, bends)
        x = F.grid_sample(remembered.float(), places, mode="bilinear", padding_mode="border", align_corners=False)
        x = self.enter(x)
        steer = unit_size(code.float())
        for block in self.trunk:
            x = block(x, steer)
        x = lrelu(x)
        logits = F.pixel_shuffle(self.shares(x), self.unfold).float()
        shares = torch.softmax(logits if size_px == NATIVE else enlarged(logits, size_px), 1)
        with torch.autocast(w.device.type, enabled=False):  # bf16 would round colours
            colours = torch.sigmoid(self.colours(w.float())).view(-1, 3, model.paints)
            painted = (colours @ shares[:, 1:].flatten(2)).view(-1, 3, size_px, size_px)
        alpha = 1 - shares[:, :1]
        shading = F.avg_pool2d(self.shading(x).float(), GRID // SHADING_PX)
        shading = F.interpolate(shading, size=(size_px, size_px), mode="bilinear", align_corners=False)
        return torch.cat([painted + shading * alpha, alpha], 1)


def enlarged(logits: Tensor, size_px: int) -> Tensor:
    """Resample logits of shares, [N, K, S, S] -> [N, K, size_px, size_px].

    At twice the size, an edge has half the slope. It is restored, but only where one paint follows another within a
    pixel: where paints are mixed, a steeper slope would be a stain.
    """
    shares = torch.softmax(logits, 1)
    change = (F.max_pool2d(shares, 3, 1, 1) + F.max_pool2d(-shares, 3, 1, 1)).amax(1, keepdim=True)
    edge = ((change - MIXED) / (FOLLOWS - MIXED)).clamp(0, 1)
    slope = 1 + (max(1.0, size_px / logits.shape[-1]) - 1) * edge
    size = (size_px, size_px)
    larger = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return larger * F.interpolate(slope, size=size, mode="bilinear", align_corners=False)


def settled(drawn: Tensor) -> Tensor:
    """Clean up: nearly clear becomes clear, nearly solid becomes solid, and no colour exceeds its alpha.

    Args:
        drawn: premultiplied, [..., 4, S, S], from the network.
    """
    colour, alpha = drawn.narrow(-3, 0, 3), drawn.narrow(-3, 3, 1)
    bounded = ((alpha - CLEAR) / (SOLID - CLEAR)).clamp(0, 1)
    return torch.cat([(colour / alpha.clamp_min(CLEAR)).clamp(0, 1) * bounded, bounded], -3)


class Portrait(nn.Module):
    """A latent -> all references.

    Args:
        model: sizes.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.references = nn.ModuleList(
            Reference(model, model.inner if name == "inner" else model.memories) for name in REFERENCES
        )

    def forward(self, w: Tensor, size_px: int = NATIVE) -> Tensor:
        """[N, w_dim], mean square 1 -> premultiplied, [N, len(REFERENCES), 4, size_px, size_px], not clamped."""
        return torch.stack([reference(w, size_px) for reference in self.references], 1)
