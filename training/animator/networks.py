"""The reader, once for every person, and the animator, for every frame. Knows tensors.

The reader is a U-Net on the references; what it finds stays constant. The animator refines, at 16, 32 and 64 px, flows
that say where paint was at rest, and warps the reader's features along, so that what it sees lies where it draws
(first-order motion, Siarohin 2019, arXiv:2003.00196, with the motion of `rigid` in place of key points).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.composite.base import PLANES
from runtime.composite.references import LAYERS, REFERENCES
from training.animator.composite import FARTHEST, Motion, own_places, resized
from training.animator.recipe import FINE, Model
from training.animator.rigid import PARTS, RigidMotion
from training.layers import Mlp, ModulatedBlock, ResidualBlock, control_scale, kaiming, lrelu, unit_size

READER_PX = 256
COARSE, MIDDLE = FINE // 4, FINE // 2  # sides of the grids that motion is found on, beside FINE
FLOW_SCALES = (0.02, 0.02, 0.01)  # half pictures per unit of a flow head, so that flows begin small
# Which rigid part each reference moves with; what is left is learnt.
MOVES_WITH = {"back": "hang", "body": "body", "inner": "gaze", "head": "head", "front": "hair", "open": "head"}
SEEN = tuple(LAYERS.index(name) for name in ("back", "body", "head", "front"))  # layers along which features are warped
KEPT_AT_FIRST = 4.0  # logit
DRAWN_AT_FIRST = -3.0


class Person(NamedTuple):
    """What the reader found.

    Attributes:
        code: float [N, id_dim], mean square 1.
        features: float [N, C, s, s] for s of COARSE, MIDDLE, FINE.
    """

    code: Tensor
    features: tuple[Tensor, Tensor, Tensor]

    def repeated(self, times: int) -> Person:
        """Each row so many times in a row."""
        return Person(
            self.code.repeat_interleave(times, 0),
            tuple(part.repeat_interleave(times, 0) for part in self.features),  # type: ignore[arg-type]
        )


class Reader(nn.Module):
    """References -> `Person`.

    Args:
        channels: at 64, 32, 16 and 8 px.
        features: handed to the animator at 16, 32 and 64 px; multiples of the number of layers.
        id_dim: of the code.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (64, 96, 128, 160),
        features: Sequence[int] = (96, 48, 24),
        id_dim: int = 128,
    ) -> None:
        super().__init__()
        fold = READER_PX // FINE
        self.enter = _convolution(len(REFERENCES) * 4 * fold * fold, channels[0])
        self.down = nn.ModuleList(_convolution(a, b, stride=2) for a, b in itertools.pairwise(channels))
        self.seen = nn.ModuleList(ResidualBlock(width) for width in channels)
        self.up = nn.ModuleList(_convolution(b, a) for a, b in itertools.pairwise(channels))
        self.joined = nn.ModuleList(ResidualBlock(width) for width in channels[1:3])
        self.out = nn.ModuleList(
            _convolution(width, count) for width, count in zip(channels[2::-1], features, strict=True)
        )
        self.pool = _convolution(channels[3], 64, stride=2)
        self.code = Mlp(64 * 16, 256, id_dim)
        self.fold = fold

    def forward(self, references: Tensor) -> Person:
        """Premultiplied references [N, len(REFERENCES), 4, READER_PX, READER_PX], 0..1."""
        x = self.seen[0](lrelu(self.enter(F.pixel_unshuffle(references.flatten(1, 2) * 2 - 1, self.fold))))
        levels = [x]
        for down, block in zip(self.down, list(self.seen)[1:], strict=True):
            levels.append(block(lrelu(down(levels[-1]))))
        code = unit_size(self.code(lrelu(self.pool(levels[3])).flatten(1)).float())
        at16 = self.joined[1](levels[2] + _twice(lrelu(self.up[2](levels[3]))))
        at32 = self.joined[0](levels[1] + _twice(lrelu(self.up[1](at16))))
        at64 = levels[0] + _twice(lrelu(self.up[0](at32)))
        found = [lrelu(out(level)) for out, level in zip(self.out, (at16, at32, at64), strict=True)]
        return Person(code, (found[0], found[1], found[2]))


class Animator(nn.Module):
    """`Person` and controls -> `Motion`.

    Args:
        names: of the controls, in input order.
        controls: (minimum, maximum, rest) of each, natural units.
        channels: of the trunk at 16, 32 and 64 px; the reader's features.
        blocks: residual blocks there; those at 16 and 32 px are modulated.
        id_dim: of the person's code.
        code_dim: of the code that modulates.
        planes_px: side of the planes: FINE times a power of two.
    """

    lowest: Tensor
    scale: Tensor

    def __init__(
        self,
        names: Sequence[str],
        controls: Sequence[tuple[float, float, float]],
        *,
        channels: Sequence[int] = (96, 48, 24),
        blocks: Sequence[int] = (2, 2, 1),
        id_dim: int = 128,
        code_dim: int = 256,
        planes_px: int = 128,
    ) -> None:
        super().__init__()
        low, scale = control_scale(controls)
        self.register_buffer("lowest", low)
        self.register_buffer("scale", scale)
        self.rigid = RigidMotion(names)
        self._parts = [PARTS.index(MOVES_WITH[name]) for name in REFERENCES]
        self.code = Mlp(id_dim + len(controls), code_dim, code_dim, code_dim)
        self.first = nn.Parameter(torch.zeros(1, channels[0], COARSE, COARSE))
        self.at16 = nn.ModuleList(ModulatedBlock(channels[0], code_dim) for _ in range(blocks[0]))
        self.at32 = nn.ModuleList(ModulatedBlock(channels[1], code_dim) for _ in range(blocks[1]))
        self.at64 = nn.ModuleList(ResidualBlock(channels[2]) for _ in range(blocks[2]))
        self.to32, self.to64 = _convolution(channels[0], channels[1]), _convolution(channels[1], channels[2])
        self.flows = nn.ModuleList(_quiet(width, 2 * len(REFERENCES), 1e-4) for width in channels)
        self.unfold = planes_px // FINE
        self.planes = _quiet(channels[2], len(PLANES) * self.unfold**2, 0.01)
        self._begin_with_the_references()

    def forward(self, person: Person, controls: Tensor) -> Motion:
        """Find the motion.

        Args:
            person: of each row.
            controls: float [N, c], natural units.
        """
        code = unit_size(lrelu(self.code(torch.cat([person.code, self.steered(controls)], 1))).float())
        with torch.autocast(controls.device.type, enabled=False):
            rigid = self.rigid_flow(controls)
            levels = {side: _averaged(rigid, side) for side in (COARSE, MIDDLE, FINE)}
        x = person.features[0] + self.first
        for block in self.at16:
            x = block(x, code)
        flow = self._flow(0, x)
        for index, (enter, blocks, side) in enumerate(
            ((self.to32, self.at32, MIDDLE), (self.to64, self.at64, FINE)), start=1
        ):
            flow = _grown(flow, side)
            seen = warped(person.features[index], _bounded(levels[side] + flow)[:, SEEN])
            x = _twice(lrelu(enter(x))) + seen
            for block in blocks:
                x = block(x, code) if index == 1 else block(x)
            flow = flow + self._flow(index, x)
        planes, gates = self.planes(x).float(), (len(PLANES) - 4) * self.unfold**2
        # Bounded before they are unfolded: the large planes are written once.
        bounded = torch.cat([torch.sigmoid(planes[:, :gates]), planes[:, gates:].clamp(-0.5, 1.5)], 1)
        return Motion(_bounded(levels[FINE] + flow), F.pixel_shuffle(bounded, self.unfold))

    def rigid_flow(self, controls: Tensor) -> Tensor:
        """What each reference moves by before anything is learnt, float [N, R, 2, FINE, FINE], half pictures."""
        parts: Tensor = self.rigid(controls.float())
        return parts[:, self._parts]

    def steered(self, controls: Tensor) -> Tensor:
        """Controls [N, c], natural units, as the network takes them: -1 to 1."""
        return (controls - self.lowest) * self.scale - 1

    def _flow(self, level: int, x: Tensor) -> Tensor:
        """One level's share, in fp32: a wrong rounding here is seen, anywhere else it is not."""
        with torch.autocast(x.device.type, enabled=False):
            flow: Tensor = self.flows[level](x.float()) * FLOW_SCALES[level]
        return flow.view(-1, len(REFERENCES), 2, *x.shape[2:])

    @torch.no_grad()
    def _begin_with_the_references(self) -> None:
        """All layers kept, the head as at rest, nothing drawn."""
        bias = self.planes.bias
        assert bias is not None
        by_plane = bias.view(len(PLANES), -1)
        by_plane[: len(LAYERS)] = KEPT_AT_FIRST
        by_plane[len(LAYERS) : -4] = DRAWN_AT_FIRST
        by_plane[-4:] = 0.5


def build(
    model: Model, names: Sequence[str], controls: Sequence[tuple[float, float, float]]
) -> tuple[Reader, Animator]:
    """Fresh networks of a recipe's sizes.

    Args:
        model: sizes.
        names: of the controls, in input order.
        controls: (minimum, maximum, rest) of each.
    """
    reader = Reader(channels=model.reader, features=model.channels, id_dim=model.id_dim)
    animator = Animator(
        names,
        controls,
        channels=model.channels,
        blocks=model.blocks,
        id_dim=model.id_dim,
        code_dim=model.code_dim,
        planes_px=model.planes_px,
    )
    return reader, animator


def warped(features: Tensor, flow: Tensor) -> Tensor:
    """Features [N, C, s, s], an equal share of which belongs to each layer, moved by [N, L, 2, s, s]."""
    count, channels, side, _ = features.shape
    layers = flow.shape[1]
    places = flow.flatten(0, 1).permute(0, 2, 3, 1) + own_places(side, flow)
    shares = features.float().reshape(count * layers, channels // layers, side, side)
    moved = F.grid_sample(shares, places, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.view(count, channels, side, side)


def _bounded(flow: Tensor) -> Tensor:
    """Paint cannot come from anywhere: no further than FARTHEST."""
    return FARTHEST * torch.tanh(flow / FARTHEST)


def _grown(flow: Tensor, side: int) -> Tensor:
    return resized(flow.flatten(1, 2), side).view(*flow.shape[:3], side, side)


def _averaged(flow: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(flow.flatten(1, 2), FINE // side).view(*flow.shape[:3], side, side) if side < FINE else flow


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Conv2d:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
    kaiming(convolution)
    return convolution


def _quiet(before: int, after: int, std: float) -> nn.Conv2d:
    """A head that says almost nothing at first."""
    convolution = nn.Conv2d(before, after, 3, padding=1)
    nn.init.normal_(convolution.weight, std=std)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
