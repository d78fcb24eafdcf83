"""Networks as ONNX bytes, in the form of a character file."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from runtime.character.onnx_graph import read_graph

OPSET = 20
FP16, INT8, SCALE = "_fp16", "_int8", "_scale"  # suffixes of stored weights
HALVE_FROM = 1024  # elements
LARGEST_HALF = 65504.0


def onnx_of(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    bytes_from: int | None = None,
) -> bytes:
    """Export a network.

    Args:
        module: on any device; it is moved to the CPU.
        example: arguments with the same number of rows each; that number is left open in the graph.
        inputs: names of the arguments.
        outputs: names of the results.
        bytes_from: store weights of at least this many elements as bytes; None for none.
    """
    buffer = io.BytesIO()
    module = module.cpu()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            buffer,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "N"} for name in [*inputs, *outputs]},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    # The tracer leaves sizes open that it could not follow; only the batch size is.
    with torch.no_grad():
        results = module(*example)
    for output, result in zip(model.graph.output, [results] if isinstance(results, Tensor) else results, strict=True):
        for dimension, size in zip(output.type.tensor_type.shape.dim[1:], result.shape[1:], strict=True):
            dimension.dim_value = size
    if bytes_from is not None:
        quarter_weights(model, bytes_from)
    halve_weights(model)
    model.producer_name, model.producer_version = "bunraku", ""
    onnx.checker.check_model(model, full_check=True)
    # As the runtime passes it on, without node descriptions: what is compared here is what plays there.
    return read_graph(model.SerializeToString()).to_bytes()


def quarter_weights(model: onnx.ModelProto, least: int) -> None:
    """Store weights of at least this many elements as int8, with a scale per row.

    The rounding is a 254th of a row's maximum: fine for data that is mixed and then processed by a network, not for
    weights that are multiplied many times.
    """
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2 or math.prod(tensor.dims) < least:
            continue
        name, whole = tensor.name, onnx.numpy_helper.to_array(tensor)
        scale = np.maximum(np.abs(whole.reshape(len(whole), -1)).max(1), 1e-12).astype(np.float32) / 127
        rounded = np.round(whole / scale.reshape(-1, *[1] * (whole.ndim - 1))).astype(np.int8)
        tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, f"{name}{INT8}"))
        model.graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}{SCALE}"))
        ends = [f"{name}{INT8}", f"{name}{SCALE}"], [name]
        model.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", *ends, f"{name}_whole", axis=0))


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
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}{FP16}"))
        cast = onnx.helper.make_node("Cast", [f"{name}{FP16}"], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)


def weights_of_onnx(graph: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The weights stored by `onnx_of`, as fp32 and by their original names.

    Args:
        graph: ONNX bytes.
    """
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(graph).graph.initializer
    }
    out = {}
    for name, values in stored.items():
        if name.endswith(FP16):
            out[name.removesuffix(FP16)] = values.astype(np.float32)
        elif name.endswith(INT8):
            whole = name.removesuffix(INT8)
            out[whole] = values * stored[whole + SCALE].reshape(-1, *[1] * (values.ndim - 1))
        elif not (name.endswith(SCALE) and name.removesuffix(SCALE) + INT8 in stored):
            out[name] = values
    return out
