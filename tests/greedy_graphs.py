"""Generators of allowed operators that take all memory or all time, and a character around each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.character.writing import write_character
from tests.tiny_character import CONTROLS, SIDE, W_DIM, manifest, members


def ints(name: str, *values: int) -> onnx.TensorProto:
    """An int64 initializer."""
    return numpy_helper.from_array(np.array(values, np.int64), name)


def ending_in(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], last: str) -> bytes:
    """A generator that makes the scalar `last` on the way to a grey picture."""
    nodes = [
        *nodes,
        helper.make_node("Mul", [last, "none"], ["nothing"]),
        helper.make_node("Mul", ["w", "none"], ["no_w"]),
        helper.make_node("Mul", ["controls", "none"], ["no_controls"]),
        helper.make_node("Concat", ["no_w", "no_controls"], ["unseen"], axis=1),
        helper.make_node("ReduceSum", ["unseen"], ["of_w"], keepdims=0),
        helper.make_node("Add", ["nothing", "of_w"], ["shade"]),
        helper.make_node("Add", ["picture", "shade"], ["shaded"]),
        helper.make_node("Cast", ["shaded"], ["rgba"], to=TensorProto.UINT8),
    ]
    tensors = [
        *tensors,
        numpy_helper.from_array(np.array(0, np.float32), "none"),
        numpy_helper.from_array(np.full((1, SIDE, SIDE, 4), 128, np.float32), "picture"),
    ]
    graph = helper.make_graph(
        nodes,
        "greedy",
        [
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", W_DIM]),
            helper.make_tensor_value_info("controls", TensorProto.FLOAT, ["N", CONTROLS]),
        ],
        [helper.make_tensor_value_info("rgba", TensorProto.UINT8, ["N", SIDE, SIDE, 4])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def reduced(name: str) -> onnx.NodeProto:
    """The sum of a tensor, called `sum`."""
    return helper.make_node("ReduceSum", [name], ["sum"], keepdims=0)


def products(count: int, side: int) -> bytes:
    """This many products of square matrices, which take no room in the file."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceMean", ["w"], ["mean"], keepdims=0),
        helper.make_node("Add", ["zeros", "mean"], ["m0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"m{index}", "m0"], [f"m{index + 1}"]) for index in range(count)]
    return ending_in([*nodes, reduced(f"m{count}")], [ints("shape", side, side)], "sum")


def growing(operator: str) -> bytes:
    """One operator that produces many gigabytes of zeros."""
    start = helper.make_node("ReduceMean", ["w"], ["mean"], keepdims=0)
    one = helper.make_node("Reshape", ["mean", "ones"], ["one"])
    nodes, tensors = [start, one], [ints("ones", 1, 1, 1, 1)]
    if operator in ("Expand", "Tile"):
        nodes.append(helper.make_node(operator, ["one", "size"], ["big"]))
        tensors.append(ints("size", 1024, 1024, 1024, 1))
    elif operator == "Pad":
        nodes.append(helper.make_node("Pad", ["one", "size"], ["big"]))
        tensors.append(ints("size", 0, 0, 0, 0, 0, 0, 32768, 32768))
    elif operator == "Resize":
        nodes.append(helper.make_node("Resize", ["one", "", "", "size"], ["big"], mode="nearest"))
        tensors.append(ints("size", 1, 1, 32768, 32768))
    elif operator == "ConstantOfShape":
        nodes = [helper.make_node("ConstantOfShape", ["size"], ["big"])]
        tensors = [ints("size", 1 << 30)]
    elif operator == "Range":
        nodes = [helper.make_node("Range", ["from", "to", "step"], ["big"])]
        ends = {"from": 0.0, "to": 1e9, "step": 1.0}
        tensors = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in ends.items()]
    elif operator == "ConvTranspose":
        nodes.append(helper.make_node("ConvTranspose", ["one", "kernel"], ["big"], output_shape=[40_000, 40_000]))
        tensors.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "kernel"))
    elif operator == "Concat":
        nodes.append(helper.make_node("Expand", ["one", "size"], ["b0"]))
        tensors.append(ints("size", 1, 1, 4096, 4096))
        nodes.append(helper.make_node("Concat", ["b0"] * 64, ["big"], axis=1))
    elif operator == "MatMul":
        nodes.append(helper.make_node("Expand", ["one", "tall"], ["left"]))
        nodes.append(helper.make_node("Expand", ["one", "wide"], ["right"]))
        tensors += [ints("tall", 1, 1, 65536, 1), ints("wide", 1, 1, 1, 65536)]
        nodes.append(helper.make_node("MatMul", ["left", "right"], ["big"]))
    elif operator == "GatherElements":
        nodes.append(helper.make_node("Expand", ["zero", "size"], ["where"]))
        nodes.append(helper.make_node("GatherElements", ["one", "where"], ["big"]))
        tensors += [ints("size", 1024, 1024, 1024, 1), ints("zero", 0)]
    else:
        raise ValueError(operator)
    return ending_in([*nodes, reduced("big")], tensors, "sum")


GROWING = ("Expand", "Tile", "Pad", "Resize", "ConstantOfShape", "Range", "ConvTranspose", "Concat", "MatMul")


def fed_size() -> bytes:
    """A tensor whose size is a control: small at rest, all memory at another pose."""
    nodes = [
        helper.make_node("ReduceSum", ["controls"], ["asked"], keepdims=0),
        helper.make_node("Mul", ["asked", "many"], ["size"]),
        helper.make_node("Range", ["zero", "size", "step"], ["big"]),
        reduced("big"),
    ]
    numbers = {"many": 1e9, "zero": 0.0, "step": 1.0}
    tensors = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    return ending_in(nodes, tensors, "sum")


def fat_but_allowed(megabytes: int) -> bytes:
    """Uses memory that the estimate allows: many tensors alive at once."""
    names = [f"t{index}" for index in range(megabytes // 64)]
    nodes = [
        helper.make_node("ReduceMean", ["w"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "size"], ["base"]),
    ]
    for before, name in zip(["base", *names], names, strict=False):
        nodes.append(helper.make_node("Add", [before, "mean"], [name]))
    nodes += [helper.make_node("Sum", names, ["all"]), reduced("all")]
    return ending_in(nodes, [ints("size", 4096, 4096)], "sum")


def write_greedy(path: Path, graph: bytes) -> Path:
    """A character with this generator."""
    write_character(path, manifest(), {**members(seeds=False), "generator.onnx": graph})
    return path
