"""The graphs of a character file, as ONNX bytes.

Inputs and outputs are fixed in docs/character-file.md; the operators are the few that ONNX Runtime,
OpenVINO and TensorRT all run fast.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from training.decoder.alpha import CLEAR, GAIN
from training.decoder.networks import Generator
from training.latents.encoder import Encoder
from training.onnx_export import onnx_of

ALPHA = slice(3, None, 4)  # of an exported head's rows, which go through R, G, B, A pixel by pixel


class _Pictures(nn.Module):
    """The generator with its output as bytes.

    The factor 255, the rounding, the order of channels and the stretch of alpha go into the head's weights: only
    clip, layout and cast are left at full size. Two transposes that move whole pixels are faster than a
    pixel shuffle of single numbers followed by a transpose; the cast comes last because TensorRT's parser requires it.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).eval().cpu().float()
        head = self.generator.heads[str(self.generator.size_px)]
        assert isinstance(head, nn.Conv2d)
        assert head.bias is not None
        factor = self.generator.head
        # From a pixel shuffle's order (channel, row, column) to (row, column, channel).
        order = torch.arange(4 * factor * factor).view(4, -1).T.reshape(-1)
        with torch.no_grad():
            weight, bias = head.weight[order], head.bias[order]
            weight[ALPHA] *= GAIN
            bias[ALPHA] = (bias[ALPHA] - CLEAR) * GAIN
            head.weight.copy_(weight * 255)
            head.bias.copy_(bias * 255 + 0.5)

    def forward(self, w: Tensor, controls: Tensor) -> Tensor:
        return self.laid_out(self.generator.unshuffled(w, controls))

    def laid_out(self, blocks: Tensor) -> Tensor:
        factor, size = self.generator.head, self.generator.size_px
        small = size // factor
        blocks = blocks.clamp(0, 255).permute(0, 2, 3, 1)
        rows = blocks.reshape(-1, small, small, factor, factor * 4).transpose(2, 3)
        return rows.reshape(-1, size, size, 4).to(torch.uint8)


class _HalfPictures(_Pictures):
    """The same with trunk and head in fp16, which halves a GPU's memory traffic.

    Identity and pose become a code in fp32: that is a thousandth of the work, and in fp16 a head turned by half a
    degree would move in steps. Bytes survive fp16, whose numbers lie 1/8 apart between 128 and 256 and closer below.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator)
        for name, part in self.generator.named_children():
            if name != "code":
                part.half()
        self.generator.const.data = self.generator.const.data.half()

    def forward(self, w: Tensor, controls: Tensor) -> Tensor:
        return self.laid_out(self.generator.from_code(self.generator.code_of(w, controls).half()))


class _Identities(nn.Module):
    """The encoder from straight RGBA bytes to a latent."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).eval()

    def forward(self, rgba: Tensor) -> Tensor:
        # The cast first, because TensorRT's parser takes bytes only at the ends of a graph.
        straight = rgba.float().permute(0, 3, 1, 2) / 255
        alpha = straight[:, 3:]
        premultiplied = torch.cat([straight[:, :3] * alpha, alpha], 1)
        w: Tensor = self.encoder(premultiplied)
        return w


def pictures(generator: Generator, *, half: bool) -> nn.Module:
    """The exported module: w and controls -> uint8 [N, H, W, 4]. A copy, on the CPU.

    Args:
        generator: unchanged.
        half: compute in fp16.
    """
    return _HalfPictures(generator) if half else _Pictures(generator)


def generator_graph(generator: Generator, controls: int) -> bytes:
    """`w` float32 [N, w_dim] and `controls` float32 [N, c], natural units -> `rgba` uint8 [N, H, W, 4]."""
    example = (torch.zeros(2, generator.w_dim), torch.zeros(2, controls))
    return onnx_of(pictures(generator, half=False), example, ["w", "controls"], ["rgba"])


def half_generator_graph(generator: Generator, controls: int) -> bytes:
    """The generator for GPUs: like `generator_graph`, same inputs and outputs, computing in fp16.

    No better than fp32 on a CPU: ONNX Runtime has no fp16 convolution there and computes it in fp32.
    """
    example = (torch.zeros(2, generator.w_dim), torch.zeros(2, controls))
    return onnx_of(pictures(generator, half=True), example, ["w", "controls"], ["rgba"])


def encoder_graph(encoder: Encoder, size_px: int) -> bytes:
    """`rgba` uint8 [N, size_px, size_px, 4], straight -> `w` float32 [N, w_dim]."""
    example = (torch.zeros(2, size_px, size_px, 4, dtype=torch.uint8),)
    return onnx_of(_Identities(encoder).float(), example, ["rgba"], ["w"])
