"""What an ONNX file says about itself, read without running or trusting it.

A bounded walk over the protobuf wire format, limited to the few fields that decide whether a graph may be loaded:
operators, domains, opset, inputs, outputs, external data. Knows no inference library and never copies a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine_bridge.errors import CharacterError

# Operators that generators, mappings and encoders of pictures are made of. Nothing here runs subgraphs, reads files,
# draws random numbers or comes from a domain of its own, so a character cannot bring code along.
ALLOWED_OPERATORS: Final = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "Cos",
        "DepthToSpace",
        "DequantizeLinear",
        "Div",
        "DynamicQuantizeLinear",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Greater",
        "GreaterOrEqual",
        "GridSample",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LpNormalization",
        "MatMul",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "Range",
        "Reciprocal",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Slice",
        "Softmax",
        "Softplus",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
OPSETS: Final = range(13, 25)

_MAX_NODES: Final = 20_000
_MAX_FIELDS: Final = 400_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a graph.

    Attributes:
        name: its name.
        element_type: ONNX number of the element type (1 float32, 2 uint8).
        shape: one entry per dimension; None where the size is left open (the batch).
    """

    name: str
    element_type: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class GraphSummary:
    """What `summarise` found.

    Attributes:
        opset: version of the standard operator set.
        operators: how often each operator occurs.
        inputs: inputs that must be fed (initializers left out).
        outputs: outputs.
        parameters: number of elements in all initializers.
    """

    opset: int
    operators: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: int


class _Walk:
    """Counts what it hands out, so that a small file cannot cost much time."""

    def __init__(self) -> None:
        self.fields = 0

    def over(self, data: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
        """Yield (field number, wire type, varint value, bytes) for every field of one message."""
        position, end = 0, len(data)
        empty = data[:0]
        while position < end:
            self.fields += 1
            if self.fields > _MAX_FIELDS:
                raise CharacterError(f"the protobuf has more than {_MAX_FIELDS} fields")
            key, position = _varint(data, position)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise CharacterError("the protobuf has a field with the number 0")
            if wire == _VARINT:
                value, position = _varint(data, position)
                yield number, wire, value, empty
            elif wire == _BYTES:
                size, position = _varint(data, position)
                if size > end - position:
                    raise CharacterError("the protobuf is cut short")
                yield number, wire, size, data[position : position + size]
                position += size
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
                if size > end - position:
                    raise CharacterError("the protobuf is cut short")
                yield number, wire, 0, data[position : position + size]
                position += size
            else:
                raise CharacterError(f"the protobuf has a field of the unknown wire type {wire}")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise CharacterError("the protobuf is cut short")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise CharacterError("the protobuf has a number longer than ten bytes")


def _text(data: memoryview) -> str:
    if len(data) > 4096:
        raise CharacterError("the protobuf has a name longer than 4096 bytes")
    return bytes(data).decode("utf-8", "replace")


def summarise(model: bytes | memoryview) -> GraphSummary:
    """Read a serialised ONNX model and refuse what a character must not contain.

    Args:
        model: the bytes of one `.onnx` file.

    Raises:
        CharacterError: not an ONNX model, an operator outside `ALLOWED_OPERATORS`, a foreign domain, subgraphs,
            functions, external data, or an opset outside `OPSETS`.
    """
    walk = _Walk()
    graphs: list[memoryview] = []
    opset = 0
    for number, wire, _, data in walk.over(memoryview(model).cast("B")):
        if number == 7 and wire == _BYTES:
            graphs.append(data)
        elif number == 8 and wire == _BYTES:
            opset = _opset(walk, data) or opset
        elif number in (20, 25):
            raise CharacterError("it holds functions or training data; export a plain inference graph")
    if len(graphs) != 1:
        raise CharacterError("it is not an ONNX model with one graph")
    if opset not in OPSETS:
        raise CharacterError(f"it needs opset {opset}; this release reads {OPSETS.start} to {OPSETS.stop - 1}")

    operators: dict[str, int] = {}
    parameters = nodes = 0
    inputs: list[TensorInfo] = []
    outputs: list[TensorInfo] = []
    initializers: set[str] = set()
    for number, wire, _, data in walk.over(graphs[0]):
        if wire != _BYTES:
            continue
        if number == 1:
            nodes += 1
            if nodes > _MAX_NODES:
                raise CharacterError(f"it has more than {_MAX_NODES} nodes")
            operator = _node(walk, data)
            operators[operator] = operators.get(operator, 0) + 1
        elif number == 5:
            name, count = _tensor(walk, data)
            initializers.add(name)
            parameters += count
        elif number == 11:
            inputs.append(_value_info(walk, data))
        elif number == 12:
            outputs.append(_value_info(walk, data))
        elif number == 15:
            raise CharacterError("it holds sparse tensors; export dense ones")
    fed = tuple(info for info in inputs if info.name not in initializers)
    return GraphSummary(opset, operators, fed, tuple(outputs), parameters)


def _opset(walk: _Walk, data: memoryview) -> int:
    domain, version = "", 0
    for number, wire, value, payload in walk.over(data):
        if number == 1 and wire == _BYTES:
            domain = _text(payload)
        elif number == 2 and wire == _VARINT:
            version = value
    return version if domain in ("", "ai.onnx") else 0


def _node(walk: _Walk, data: memoryview) -> str:
    operator, domain = "", ""
    for number, wire, _, payload in walk.over(data):
        if wire != _BYTES:
            continue
        if number == 4:
            operator = _text(payload)
        elif number == 7:
            domain = _text(payload)
        elif number == 5:
            _attribute(walk, payload)
    if domain not in ("", "ai.onnx"):
        raise CharacterError(f'operator "{operator}" comes from the foreign domain "{domain}"')
    if operator not in ALLOWED_OPERATORS:
        raise CharacterError(f'operator "{operator}" is not on the list of allowed ones')
    return operator


def _attribute(walk: _Walk, data: memoryview) -> None:
    for number, wire, _, payload in walk.over(data):
        if number in (6, 11) and wire == _BYTES:
            raise CharacterError("it has subgraphs (Loop, If, Scan); export it without control flow")
        if number in (22, 23) and wire == _BYTES:
            raise CharacterError("it holds sparse tensors; export dense ones")
        if number in (5, 10) and wire == _BYTES:
            _tensor(walk, payload)


def _tensor(walk: _Walk, data: memoryview) -> tuple[str, int]:
    name, count = "", 1
    for number, wire, value, payload in walk.over(data):
        if number == 1:
            for dim in (value,) if wire == _VARINT else _packed(payload):
                count *= dim
        elif number == 8 and wire == _BYTES:
            name = _text(payload)
        elif (number == 13 and wire == _BYTES) or (number == 14 and value != 0):
            raise CharacterError("it keeps tensors in another file (external data); export it as one file")
    if count > 1 << 40:
        raise CharacterError("it declares a tensor larger than any memory")
    return name, count


def _packed(data: memoryview) -> Iterator[int]:
    if len(data) > 160:
        raise CharacterError("the protobuf has a tensor with too many dimensions")
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _value_info(walk: _Walk, data: memoryview) -> TensorInfo:
    name, element_type = "", 0
    shape: list[int | None] = []
    for number, wire, _, payload in walk.over(data):
        if number == 1 and wire == _BYTES:
            name = _text(payload)
        elif number == 2 and wire == _BYTES:
            for type_number, type_wire, _, tensor_type in walk.over(payload):
                if type_number != 1 or type_wire != _BYTES:
                    raise CharacterError(f'"{name}" is not a tensor')
                for field, field_wire, value, content in walk.over(tensor_type):
                    if field == 1 and field_wire == _VARINT:
                        element_type = value
                    elif field == 2 and field_wire == _BYTES:
                        shape = [_dimension(walk, dim) for _, _, _, dim in walk.over(content)]
    return TensorInfo(name, element_type, tuple(shape))


def _dimension(walk: _Walk, data: memoryview) -> int | None:
    for number, wire, value, _ in walk.over(data):
        if number == 1 and wire == _VARINT:
            return value
    return None
