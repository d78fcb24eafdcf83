"""From motion to a picture: layers moved by flows and put over each other. The definition; other forms must agree.

It is kept apart from the network that finds the motion, so that a processor, a GPU or a shader can do it in its own
way, at any size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.composite.references import LAYERS, REFERENCES

OPEN = REFERENCES.index("open")
FARTHEST = 0.6  # half pictures that paint can move


class Motion(NamedTuple):
    """What the animator says of one moment.

    Attributes:
        flow: float [N, len(REFERENCES), 2, G, G]: from every place to where the paint of each reference was, x and y
            in half pictures.
        planes: float [N, len(PLANES), P, P]. 0..1: how much of each layer is kept, how much of the head comes from the
            open reference, how much of it is drawn instead of moved. Then that drawing, premultiplied; a little
            beyond 0..1 while it is learnt.
    """

    flow: Tensor
    planes: Tensor


def composite(references: Tensor, motion: Motion) -> Tensor:
    """Draw.

    Args:
        references: float [N, len(REFERENCES), 4, S, S], premultiplied RGBA, 0..1.
        motion: of the same N.

    Returns:
        premultiplied RGBA, float [N, 4, S, S].
    """
    size = references.shape[-1]
    return over(moved_layers(references, motion.flow, resized(motion.planes, size)))


def moved_layers(references: Tensor, flow: Tensor, planes: Tensor) -> Tensor:
    """The layers where they are now: float [N, len(LAYERS), 4, S, S], premultiplied.

    Args:
        references: as for `composite`.
        flow: of `Motion`.
        planes: of `Motion`, at the size of the references.
    """
    # Taken apart at once: the gradient of an index is a tensor of zeros as large as the whole, for every index.
    paint = warp(references, flow).unbind(1)
    *keep, opened, drawn, drawing = torch.split(planes, [1] * (len(LAYERS) + 2) + [4], 1)
    head = LAYERS.index("head")
    layers = [paint[index] * share for index, share in enumerate(keep) if index != head]
    face = torch.lerp(paint[head], paint[OPEN], opened) * keep[head]
    layers.insert(head, torch.lerp(face, drawing, drawn))
    return torch.stack(layers, 1)


def shares(planes: Tensor) -> Tensor:
    """How much of every place comes from each reference, not counting layers over it: [N, len(REFERENCES), P, P].

    What is drawn over the open head is not counted either. Of the inner layer only eyes count, which are seen where the
    head at rest has openings.
    """
    keep, opened, drawn = planes[:, : len(LAYERS)], planes[:, len(LAYERS)], planes[:, len(LAYERS) + 1]
    head, inner = keep[:, LAYERS.index("head")], keep[:, LAYERS.index("inner")]
    at_rest = (1 - opened) * (1 - drawn)
    of = {"inner": inner * at_rest, "head": head * at_rest, "open": head * opened}
    return torch.stack([of[name] if name in of else keep[:, LAYERS.index(name)] for name in REFERENCES], 1)


def warp(references: Tensor, flow: Tensor) -> Tensor:
    """Take paint from where it was: [N, R, 4, S, S] by [N, R, 2, G, G] -> [N, R, 4, S, S]; edges go on.

    Cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711, a = -0.75): straight lines between pixels would take a
    quarter of the finest detail. It overshoots beside edges, where paint stays within 0..1.
    """
    count, pictures, _, size, _ = references.shape
    places = resized(flow.flatten(0, 1), size).permute(0, 2, 3, 1) + own_places(size, flow)
    moved = F.grid_sample(references.flatten(0, 1), places, mode="bicubic", padding_mode="border", align_corners=False)
    # The gradient of hardtanh takes one pass over the pictures, that of clamp four; but it is 0 where paint is 0 or 1.
    # Flows do not need it there, since even paint has no slope. References that are fitted do.
    bounded = moved.clamp(0, 1) if references.requires_grad else F.hardtanh(moved, 0.0, 1.0)
    return bounded.view(count, pictures, 4, size, size)


def over(layers: Tensor) -> Tensor:
    """Put layers [N, L, 4, S, S], premultiplied, over each other, the first at the bottom: [N, 4, S, S]."""
    picture, *above = layers.unbind(1)
    for layer in above:
        picture = layer + picture * (1 - layer[:, 3:])
    return picture


def own_places(size: int, like: Tensor) -> Tensor:
    """The middle of every pixel, x and y in -1..1: [size, size, 2]."""
    centre = (torch.arange(size, device=like.device, dtype=torch.float32) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack([x, y], -1)


def resized(planes: Tensor, size: int) -> Tensor:
    """[N, C, P, P] -> [N, C, size, size], smoothly."""
    if planes.shape[-1] == size:
        return planes
    return F.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)
