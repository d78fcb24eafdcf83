"""The portrait generator as ONNX bytes, in the form of a character file."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from training.onnx_export import onnx_of
from training.portrait.networks import Portrait, settled

BYTES_FROM = 1 << 18  # only the memories are this large


class _Drawing(nn.Module):
    """A latent -> references as straight bytes."""

    def __init__(self, portrait: Portrait, size_px: int) -> None:
        super().__init__()
        self.portrait = copy.deepcopy(portrait).eval().cpu().float()
        self.size_px = size_px

    def forward(self, w: Tensor) -> Tensor:
        drawn = settled(self.portrait(w, self.size_px))
        alpha = drawn[:, :, 3:]
        straight = torch.cat([(drawn[:, :, :3] / alpha.clamp_min(1 / 255)).clamp(0, 1), alpha], 2)
        # The cast last: TensorRT's parser takes bytes only at the ends of a graph.
        return (straight * 255 + 0.5).permute(0, 1, 3, 4, 2).to(torch.uint8)


def portrait_graph(portrait: Portrait, w_dim: int, size_px: int) -> bytes:
    """`w` float32 [N, w_dim] -> `references` uint8 [N, len(REFERENCES), size_px, size_px, 4], straight."""
    drawing = _Drawing(portrait, size_px)
    return onnx_of(drawing, (torch.zeros(2, w_dim),), ["w"], ["references"], bytes_from=BYTES_FROM)
