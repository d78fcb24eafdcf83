"""Damaged and hostile variants of real graphs, and how the `onnx` package reads those we accept.

`python -m tests.onnx_mutants 100000` counts them; the tests run a few thousand.
"""

from __future__ import annotations

import contextlib
import copy
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from engine_bridge.errors import CharacterError
from runtime.character.onnx_cost import cost_of
from runtime.character.onnx_graph import ALLOWED_OPERATORS, TENSOR_ATTRIBUTES, Graph, Tensor, read_graph
from runtime.character.shipped import find_character
from tests.tiny_character import generator, mapping

STANDARD = ("", "ai.onnx")


def seeds() -> list[bytes]:
    """Small graphs of every kind that characters have."""
    small = [generator(side=4, controls=2, w_dim=2).SerializeToString(), mapping().SerializeToString()]
    return [*small, _with_constants(), _quantised(), *_shipped_ones_shrunk()]


def _with_constants() -> bytes:
    """Attributes of every type, and tensors written as lists of numbers."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value=helper.make_tensor("t", TensorProto.FLOAT, [2], [1.5, -2.0])),
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node("ConstantOfShape", ["size"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        helper.make_node("Clip", ["x", "low", "high"], ["clipped"]),
        helper.make_node("LeakyRelu", ["clipped"], ["bent"], alpha=0.2),
        helper.make_node("Mul", ["bent", "two"], ["doubled"]),
        helper.make_node("ReduceSum", ["doubled", "axes"], ["summed"], keepdims=1),
        helper.make_node("Gelu", ["summed"], ["soft"], approximate="tanh"),
        helper.make_node("Add", ["soft", "ones"], ["y"], domain="ai.onnx"),
    ]
    graph = helper.make_graph(
        nodes,
        "constants",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [
            helper.make_tensor("size", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("low", TensorProto.FLOAT, [], [-1.0]),
            helper.make_tensor("high", TensorProto.FLOAT, [], [1.0]),
            helper.make_tensor("unused", TensorProto.INT8, [3], [-1, 0, 127]),
            helper.make_tensor("truth", TensorProto.BOOL, [2], [True, False]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()


def _quantised() -> bytes:
    weights = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.02]),
        helper.make_tensor("zero", TensorProto.UINT8, [], [128]),
        numpy_helper.from_array(np.array([[1, -2], [3, 4]], np.int8), "kernel"),
        numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "scales"),
        numpy_helper.from_array(np.zeros(2, np.int8), "zeros"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["small"]),
        helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["large"]),
        helper.make_node("DequantizeLinear", ["kernel", "scales", "zeros"], ["weights"], axis=1),
        helper.make_node("MatMul", ["large", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7).SerializeToString()


def _shipped_ones_shrunk() -> Iterator[bytes]:
    """Prefixes of the shipped characters' graphs with the weights reduced to one element each."""
    for shipped in ("aki", "crowd"):
        with zipfile.ZipFile(find_character(shipped)) as archive:
            for name in archive.namelist():
                if name.endswith(".onnx"):
                    model = onnx.load_from_string(archive.read(name))
                    for tensor in model.graph.initializer:
                        value = numpy_helper.to_array(tensor).reshape(-1)[:1]
                        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
                    del model.graph.node[24:], model.graph.output[1:]
                    model.graph.output[0].name = model.graph.node[-1].output[0]
                    yield model.SerializeToString()


# The fields of ONNX that hold messages: message -> field -> message. Everything else is a leaf.
_TREE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
    "value": {2: "type"},
    "type": {1: "tensor_type"},
    "tensor_type": {2: "shape"},
    "shape": {1: "dimension"},
}


@dataclass
class Part:
    """One field, with everything about it that can be damaged."""

    kind: str  # of the message that it is; empty for a leaf
    number: int
    wire: int
    value: int = 0
    data: bytes = b""
    children: list[Part] | None = None
    longer: int = 0  # extra bytes of its number or its length
    tag_longer: int = 0
    tag_bits: int = 0  # added to the tag

    def encode(self) -> bytes:
        """Its bytes, damage included."""
        tag = varint((self.number << 3 | self.wire) + self.tag_bits, self.tag_longer)
        if self.wire == 0:
            return tag + varint(self.value, self.longer)
        content = self.data if self.children is None else b"".join(child.encode() for child in self.children)
        return tag + (varint(len(content), self.longer) + content if self.wire == 2 else content)


def varint(value: int, longer: int = 0) -> bytes:
    """Encode a number like protobuf, or with more bytes than needed."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(longer):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def parts_of(data: bytes, message: str = "model") -> list[Part]:
    """A graph as a tree."""
    found = []
    position = 0

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        tag = number()
        part = Part(_TREE.get(message, {}).get(tag >> 3, ""), tag >> 3, tag & 7)
        if part.wire == 0:
            part.value = number()
        else:
            size = number() if part.wire == 2 else 4 if part.wire == 5 else 8
            part.data = data[position : position + size]
            position += size
            if part.kind:
                part.children = parts_of(part.data, part.kind)
        found.append(part)
    return found


def _leaf(number: int, text: bytes) -> Part:
    return Part("", number, 2, data=text)


def _message(kind: str, number: int, *children: Part) -> Part:
    return Part(kind, number, 2, children=list(children))


# What a hostile file might inject, by the containing message.
_HOSTILE: dict[str, list[Callable[[], Part]]] = {
    "tensor": [
        lambda: _message("", 13, _leaf(1, b"location"), _leaf(2, b"/etc/passwd")),
        lambda: Part("", 14, 0, value=1),
        lambda: Part("", 2, 0, value=8),
        lambda: _leaf(6, b"text"),
    ],
    "node": [
        lambda: _leaf(4, b"Loop"),
        lambda: _leaf(7, b"com.microsoft"),
        lambda: _leaf(8, b"overload"),
        lambda: _message("attribute", 5, _leaf(1, b"body"), _message("", 6), Part("", 20, 0, value=5)),
        lambda: _message("attribute", 5, _leaf(1, b"t"), _message("tensor", 5), Part("", 20, 0, value=4)),
    ],
    "attribute": [
        lambda: _message("", 6, _leaf(2, b"g")),
        lambda: _message("", 11, _leaf(2, b"g")),
        lambda: _message("tensor", 10, Part("", 2, 0, value=1)),
        lambda: _message("", 22),
        lambda: _leaf(21, b"reference"),
        lambda: Part("", 20, 0, value=5),
    ],
    "graph": [
        lambda: _message("", 15),
        lambda: _message("", 14),
        lambda: _message("node", 1, _leaf(4, b"If"), _leaf(2, b"new")),
        lambda: _message("tensor", 5, _leaf(8, b"again"), Part("", 14, 0, value=1)),
    ],
    "model": [
        lambda: _message("", 25, _leaf(1, b"function")),
        lambda: _message("", 20),
        lambda: _message("opset", 8, _leaf(1, b"com.microsoft"), Part("", 2, 0, value=1)),
        lambda: _message("graph", 7),
    ],
}


def structural(seed: bytes, chance: random.Random) -> bytes:
    """One to three fields damaged, everything around them well-formed."""
    top = Part("model", 0, 2, children=parts_of(seed))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = list(_places(top))
        parent, index = chance.choice(places)
        children = parent.children
        assert children is not None
        part = children[index] if children else None
        way = chance.randrange(12)
        if part is None or way == 0:
            hostile = _HOSTILE.get(parent.kind)
            if hostile:
                added = chance.choice(hostile)()
                if chance.random() < 0.5:
                    added.tag_bits = chance.choice((1 << 32, 1 << 35, 1 << 60, 3 << 32))
                children.insert(chance.randint(0, len(children)), added)
        elif way == 1:
            part.tag_bits = chance.choice((1 << 32, 1 << 33, 1 << 40, 1 << 63))
        elif way == 2:
            part.tag_longer = chance.randint(1, 9)
        elif way == 3:
            part.longer = chance.randint(1, 9)
        elif way == 4:
            children.insert(chance.randint(0, len(children)), copy.deepcopy(part))
        elif way == 5:
            del children[index]
        elif way == 6:
            part.number = chance.choice((part.number ^ 1, part.number + 1, chance.randint(0, 30), 1 << 28))
        elif way == 7:
            part.wire = chance.randrange(8)
        elif way == 8 and part.wire == 0:
            part.value = chance.choice((0, 1, part.value + 1, 1 << 31, 1 << 32, (1 << 32) + part.value, 1 << 63))
        elif way == 9 and part.children is None:
            place = chance.randint(0, len(part.data))
            part.data = part.data[:place] + chance.choice((b"", b"\0", b"\xff", b"\x1b[2J", b"x")) + part.data[place:]
        elif way == 10:
            chance.shuffle(children)
        else:
            other = chance.choice(places)
            if other[0].children:
                children.insert(index, copy.deepcopy(other[0].children[other[1]]))
        if sum(1 for _ in _places(top)) > 4000:
            break
    return b"".join(child.encode() for child in top.children or [])


def _places(part: Part, depth: int = 0) -> Iterator[tuple[Part, int]]:
    if part.children is None or depth > 12:
        return
    for index in range(max(1, len(part.children))):
        yield part, index
    for child in part.children:
        yield from _places(child, depth + 1)


def bytewise(seed: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One to four damaged bytes or ranges."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(data) + 1) if data else 0
        size = chance.choice((1, 1, 2, 5, 16, 64))
        way = chance.randrange(7)
        if way == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif way == 1 and place < len(data):
            data[place] = chance.randrange(256)
        elif way == 2:
            data[place:place] = chance.randbytes(chance.choice((1, 2, 5)))
        elif way == 3:
            del data[place : place + size]
        elif way == 4:
            data[place:place] = data[place : place + size]
        elif way == 5:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            data[place : place + size] = other[start : start + size]
        elif way == 6 and chance.random() < 0.1:
            del data[place:]
    return bytes(data)


def mutants(count: int, *, seed: int) -> Iterator[bytes]:
    """This many variants, the same for the same seed."""
    chance = random.Random(seed)
    originals = seeds()
    for _ in range(count):
        original = chance.choice(originals)
        yield structural(original, chance) if chance.random() < 0.7 else bytewise(original, originals, chance)


def disagreements(data: bytes, graph: Graph) -> list[str]:
    """Differences between `onnx` and our reading of an accepted file or our rewrite of it; and forbidden content."""
    found = []
    for name, read in (("the file", data), ("what is handed on", graph.to_bytes())):
        try:
            model = onnx.load_from_string(read)
        except DecodeError as error:
            return [f"{name}: onnx cannot read it: {error}"]
        found += [f"{name}: {difference}" for difference in _differences(model, graph, name == "the file")]
    return found


def _differences(model: onnx.ModelProto, graph: Graph, original: bool) -> Iterator[str]:
    if [entry.version for entry in model.opset_import] != [graph.opset] or (
        model.opset_import[0].domain not in STANDARD or model.functions or model.training_info
    ):
        yield f"operator sets {model.opset_import}, or functions"
    if len(model.graph.node) != len(graph.nodes):
        yield f"{len(model.graph.node)} nodes instead of {len(graph.nodes)}"
    for theirs, ours in zip(model.graph.node, graph.nodes, strict=False):
        if theirs.op_type not in ALLOWED_OPERATORS or theirs.domain not in STANDARD or theirs.overload:
            yield f"the operator {theirs.domain}.{theirs.op_type}"
        said = (theirs.name, theirs.op_type, tuple(theirs.input), tuple(theirs.output))
        if said != (ours.name, ours.operator, ours.inputs, ours.outputs):
            yield f"node {said} instead of {ours}"
        attributes = {attribute.name: _attribute(attribute) for attribute in theirs.attribute}
        if len(attributes) != len(theirs.attribute):
            yield "an attribute twice"
        if {name: _plain(value) for name, value in ours.attributes.items()} != attributes:
            yield f"attributes {attributes} instead of {ours.attributes}"
        for attribute in theirs.attribute:
            if attribute.HasField("t") and (theirs.op_type, attribute.name) not in TENSOR_ATTRIBUTES:
                yield f"a tensor in {theirs.op_type}.{attribute.name}"
    tensors = {tensor.name: _tensor(tensor) for tensor in model.graph.initializer}
    if len(tensors) != len(model.graph.initializer) or model.graph.sparse_initializer:
        yield "an initializer twice, or sparse ones"
    if {name: _plain(tensor) for name, tensor in graph.initializers.items()} != tensors:
        yield "other initializers"
    inputs = [info for info in model.graph.input if not (original and info.name in graph.initializers)]
    for infos, ours_all in ((inputs, graph.inputs), (model.graph.output, graph.outputs)):
        told = [(info.name, info.type.tensor_type.elem_type, _shape(info)) for info in infos]
        if told != [(info.name, info.element_type, info.shape) for info in ours_all]:
            yield f"ends {told} instead of {ours_all}"


def _shape(info: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    return tuple(
        dim.dim_value if dim.WhichOneof("value") == "dim_value" else None for dim in info.type.tensor_type.shape.dim
    )


def _attribute(attribute: AttributeProto) -> object:
    """The value that its type says, if nothing else is filled in."""
    filled = {field.name for field, _ in attribute.ListFields()} - {"name", "type", "doc_string"}
    names = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}
    wanted = names.get(attribute.type, "")
    if filled - {wanted}:
        return f"type {attribute.type} with {filled}"
    if wanted == "t":
        return _tensor(attribute.t)
    value = getattr(attribute, wanted)
    if wanted in ("f", "floats"):
        return np.array(value, np.float32).tobytes()
    return tuple(value) if wanted == "ints" else value.decode() if wanted == "s" else value


def _plain(value: object) -> object:
    """Our reading, in a form that compares equal despite NaN."""
    if isinstance(value, Tensor):
        return value.element_type, value.shape, bytes(value.data)
    if isinstance(value, float) or (isinstance(value, tuple) and value and isinstance(value[0], float)):
        return np.array(value, np.float32).tobytes()
    return value


def _tensor(tensor: TensorProto) -> object:
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        return "external data"
    values = numpy_helper.to_array(tensor)
    return tensor.data_type, tuple(tensor.dims), values.tobytes()


def count(number: int, *, seed: int) -> tuple[Counter[str], list[str]]:
    """Counts of accepted and refused mutants, and every disagreement."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for mutant in mutants(number, seed=seed):
        try:
            graph = read_graph(mutant)
        except CharacterError:
            counts["refused"] += 1
            continue
        counts["accepted"] += 1
        with contextlib.suppress(CharacterError):
            cost_of(graph)
        for difference in disagreements(mutant, graph):
            counts["disagreements"] += 1
            wrong.append(f"{difference}: {mutant[:4000].hex()}")
    return counts, wrong


if __name__ == "__main__":
    counted, differing = count(int(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write("\n".join([*differing[:10], str(dict(counted))]) + "\n")
    sys.exit(bool(differing))
