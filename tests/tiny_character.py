"""A character of a few kilobytes with random weights, for tests. Looks like noise, but follows the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from runtime.character.controls import PORTRAIT_CONTROLS, Control
from runtime.character.manifest import ControlRange, FrameSize, Manifest
from runtime.character.writing import write_character

W_DIM = 8
Z_DIM = 6
SIDE = 32
CONTROLS = len(PORTRAIT_CONTROLS)


def generator(
    *, side: int = 32, controls: int = len(PORTRAIT_CONTROLS), seed: int = 0, w_dim: int = W_DIM, opset: int = 20
) -> onnx.ModelProto:
    """w, controls -> rgba: a linear layer, a convolution, nearest upsampling, uint8 at the end."""
    random = np.random.Generator(np.random.Philox(seed))
    low = side // 4

    def tensor(name: str, *shape: int, scale: float = 1.0) -> onnx.TensorProto:
        return numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), name)

    initializers = [
        tensor("dense", w_dim + controls, 4 * low * low, scale=0.02),
        tensor("kernel", 4, 4, 3, 3, scale=0.2),
        numpy_helper.from_array(np.array([0, 4, low, low], np.int64), "seed_shape"),
        numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales"),
        numpy_helper.from_array(np.array(127.5, np.float32), "half"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array(255, np.float32), "full"),
    ]
    nodes = [
        helper.make_node("Concat", ["w", "controls"], ["code"], axis=1),
        helper.make_node("MatMul", ["code", "dense"], ["flat"]),
        helper.make_node("Reshape", ["flat", "seed_shape"], ["seed"]),
        helper.make_node("Conv", ["seed", "kernel"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["features", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Mul", ["large", "half"], ["spread"]),
        helper.make_node("Add", ["spread", "half"], ["shifted"]),
        helper.make_node("Clip", ["shifted", "zero", "full"], ["clipped"]),
        helper.make_node("Transpose", ["clipped"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["rows"], ["rgba"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "generator",
        [
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", w_dim]),
            helper.make_tensor_value_info("controls", TensorProto.FLOAT, ["N", controls]),
        ],
        [helper.make_tensor_value_info("rgba", TensorProto.UINT8, ["N", side, side, 4])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def mapping() -> onnx.ModelProto:
    """z -> w: one linear layer."""
    random = np.random.Generator(np.random.Philox(1))
    weights = numpy_helper.from_array(random.standard_normal((Z_DIM, W_DIM)).astype(np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["z", "weights"], ["w"])],
        "mapping",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", Z_DIM])],
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", W_DIM])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def manifest(*, side: int = 32, controls: tuple[Control, ...] = PORTRAIT_CONTROLS, **changes: Any) -> Manifest:
    """A manifest for `members`."""
    fields: dict[str, Any] = {
        "name": "Tiny",
        "licence": "CC0-1.0",
        "author": "the tests",
        "provenance": {"recipe": "random weights", "data": []},
        "frame": FrameSize(side, side),
        "controls": [ControlRange(c.name, c.minimum, c.maximum, c.rest) for c in controls],
        "identities": {"one": 0, "two": 1},
    }
    return Manifest(**{**fields, **changes})


def members(
    *, side: int = 32, controls: tuple[Control, ...] = PORTRAIT_CONTROLS, seeds: bool = True
) -> dict[str, bytes]:
    """The members of a tiny character."""
    random = np.random.Generator(np.random.Philox(2))
    files = {
        "generator.onnx": generator(side=side, controls=len(controls)).SerializeToString(),
        "latents.safetensors": save(
            {
                "identities": random.standard_normal((2, W_DIM)).astype(np.float32),
                "direction.age": np.ones(W_DIM, np.float32),
            }
        ),
        "idle.json": b'{"blink_interval_s": 3.0}',
        "expressions.json": b'{"expressions": [{"name": "glad", "hotkey": "g", "controls": {"happy": 0.8}}]}',
        "report.json": b'{"psnr": 9.5}',
    }
    if seeds:
        files["mapping.onnx"] = mapping().SerializeToString()
    return files


def write_tiny(path: Path, *, side: int = 32, seeds: bool = True) -> Path:
    """Write a tiny character file."""
    write_character(path, manifest(side=side), members(side=side, seeds=seeds))
    return path
