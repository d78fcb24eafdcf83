"""The graphs of a character file, as ONNX bytes. Knows networks and ONNX, not files.

What the runtime feeds and gets is fixed in docs/character-file.md; the operators are the few that ONNX Runtime,
OpenVINO and TensorRT all run fast.
"""

from __future__ import annotations

import copy
import io
import logging
import math
import warnings

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from runtime.onnx_graph import read_graph
from training.decoder.alpha import CLEAR, GAIN
from training.decoder.networks import Encoder, Generator
from training.decoder.people import Mapping

OPSET = 20
HALVE_FROM = 1024  # elements
ALPHA = slice(3, None, 4)  # of an exported head's rows, which go through R, G, B, A pixel by pixel
LARGEST_HALF = 65504.0


class _Pictures(nn.Module):
    """The generator with its output as bytes.

    The factor 255, the rounding, the order of channels and the stretch of alpha go into the head's weights, so that all
    that is left to do at full size is clip, lay out and cast. Two transposes that move whole pixels are faster than a
    pixel shuffle of single numbers and a transpose after it; the cast comes last because TensorRT's parser wants it so.
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
    """The same with a trunk and a head in fp16, which halves what a GPU must move.

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
    """What is exported, as a module: w and controls -> uint8 [N, H, W, 4]. A copy, on the CPU.

    Args:
        generator: stays as it is.
        half: compute in fp16.
    """
    return _HalfPictures(generator) if half else _Pictures(generator)


def generator_graph(generator: Generator, controls: int) -> bytes:
    """`w` float32 [N, w_dim] and `controls` float32 [N, c], natural units -> `rgba` uint8 [N, H, W, 4]."""
    example = (torch.zeros(2, generator.w_dim), torch.zeros(2, controls))
    return _export(pictures(generator, half=False), example, ["w", "controls"], "rgba")


def half_generator_graph(generator: Generator, controls: int) -> bytes:
    """The generator for GPUs: as `generator_graph`, same ends, computing in fp16.

    No better than fp32 on a CPU: ONNX Runtime has no fp16 convolution there and computes it in fp32.
    """
    example = (torch.zeros(2, generator.w_dim), torch.zeros(2, controls))
    return _export(pictures(generator, half=True), example, ["w", "controls"], "rgba")


def mapping_graph(mapping: Mapping) -> bytes:
    """`z` float32 [N, z_dim] -> `w` float32 [N, w_dim]."""
    return _export(copy.deepcopy(mapping).eval().float(), (torch.zeros(2, mapping.z_dim),), ["z"], "w")


def encoder_graph(encoder: Encoder, size_px: int) -> bytes:
    """`rgba` uint8 [N, size_px, size_px, 4], straight -> `w` float32 [N, w_dim]."""
    example = (torch.zeros(2, size_px, size_px, 4, dtype=torch.uint8),)
    return _export(_Identities(encoder).float(), example, ["rgba"], "w")


def _export(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], output: str) -> bytes:
    buffer = io.BytesIO()
    module = module.cpu()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            buffer,  # type: ignore[arg-type]
            input_names=inputs,
            output_names=[output],
            dynamic_axes={name: {0: "N"} for name in [*inputs, output]},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    # The tracer leaves sizes open that it could not follow; only the batch is.
    with torch.no_grad():
        sizes = module(*example).shape[1:]
    for dimension, size in zip(model.graph.output[0].type.tensor_type.shape.dim[1:], sizes, strict=True):
        dimension.dim_value = size
    halve_weights(model)
    model.producer_name, model.producer_version = "bunraku", ""
    onnx.checker.check_model(model, full_check=True)
    # As the runtime will hand it on, without descriptions of nodes: what is compared here is what plays there.
    return read_graph(model.SerializeToString()).to_bytes()


def halve_weights(model: onnx.ModelProto) -> None:
    """Store large weights as fp16 with a cast back to fp32, which every runtime folds away while loading.

    Halves the file; the rounding is far below what a byte of a picture can show.
    """
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < HALVE_FROM:
            continue
        name, whole = tensor.name, onnx.numpy_helper.to_array(tensor)
        if np.abs(whole).max() > LARGEST_HALF:  # would become infinite
            continue
        values = whole.astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}_fp16"))
        cast = onnx.helper.make_node("Cast", [f"{name}_fp16"], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
