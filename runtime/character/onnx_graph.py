"""ONNX files, read without running or trusting them, and rewritten for the runtimes.

`read_graph` parses a file by the tables below and refuses anything not listed in them. `Graph.to_bytes` writes a new
file from what was understood; inference libraries get only that, so nothing is left that they could read
differently. Large tensors are never copied.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine_bridge.errors import CharacterError

from .protobuf import Field, Kind, Message, Reader, Record, signed, varints, write

# Operators of generators, mappings and picture encoders. None of them runs subgraphs, reads files,
# draws random numbers or has a custom domain, so a character cannot bring code along.
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
IR_VERSIONS: Final = range(4, 20)  # before 4, an initializer had to be an input as well

MAX_NODES: Final = 10_000
MAX_ENDS: Final = 64  # inputs of a graph, or outputs
MAX_DIMS: Final = 8
MAX_ELEMENTS: Final = 1 << 31  # of one tensor

# Number of an element type -> bytes. No strings, no complex numbers, nothing narrower than a byte.
FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, BOOL, FLOAT16, DOUBLE, UINT32, UINT64, BFLOAT16 = (
    *(1, 2, 3, 4, 5, 6, 7),
    *(9, 10, 11, 12, 13, 16),
)
ELEMENT_BYTES: Final = {
    **dict.fromkeys((UINT8, INT8, BOOL), 1),
    **dict.fromkeys((UINT16, INT16, FLOAT16, BFLOAT16), 2),
    **dict.fromkeys((FLOAT, INT32, UINT32), 4),
    **dict.fromkeys((DOUBLE, INT64, UINT64), 8),
}
# The only places where a node may hold a tensor: (operator, attribute).
TENSOR_ATTRIBUTES: Final = frozenset([("Constant", "value"), ("ConstantOfShape", "value")])

# Tensors may be lists of numbers instead of raw bytes: field -> element types that use it. They are
# rewritten as raw bytes. Lists of variable-length numbers are for small tensors.
_TYPED: Final = {
    "float_data": (FLOAT,),
    "double_data": (DOUBLE,),
    "int64_data": (INT64,),
    "int32_data": (INT32, UINT8, INT8, UINT16, INT16, BOOL, FLOAT16, BFLOAT16),
}
_LONGEST_LIST: Final = 65_536
_RANGES: Final = {
    INT32: (-(1 << 31), (1 << 31) - 1),
    INT8: (-128, 127),
    INT16: (-(1 << 15), (1 << 15) - 1),
    INT64: (-(1 << 63), (1 << 63) - 1),
    BOOL: (0, 1),
}

# Number of an attribute's type -> the only field that it may fill, and whether that is a list.
_ATTRIBUTE_TYPES: Final = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}

_DOC: Final = Field("doc_string", Kind.DATA, dropped=True)
_ENTRY: Final = Message("StringStringEntryProto", {1: Field("key", Kind.DATA), 2: Field("value", Kind.DATA)})
_PROPS: Final = Field("metadata_props", Kind.MESSAGE, repeated=True, message=_ENTRY, dropped=True)
_NO_SUBGRAPHS: Final = "it has subgraphs (Loop, If, Scan); export it without control flow"
_NO_SPARSE: Final = "it holds sparse tensors; export dense ones"
_NO_FUNCTIONS: Final = "it holds functions or training data; export a plain inference graph"
_NO_EXTERNAL: Final = "it keeps tensors in another file (external data); export it as one file"

_TENSOR: Final = Message(
    "TensorProto",
    {
        1: Field("dims", Kind.INT, repeated=True),
        2: Field("data_type", Kind.ENUM),
        4: Field("float_data", Kind.DATA),
        5: Field("int32_data", Kind.DATA),
        7: Field("int64_data", Kind.DATA),
        8: Field("name", Kind.TEXT),
        9: Field("raw_data", Kind.DATA),
        10: Field("double_data", Kind.DATA),
        12: _DOC,
        14: Field("data_location", Kind.ENUM),
        16: _PROPS,
    },
    refused={13: _NO_EXTERNAL, 6: "it holds a tensor of strings", 3: "it holds a tensor in segments"},
)
_ATTRIBUTE: Final = Message(
    "AttributeProto",
    {
        1: Field("name", Kind.TEXT),
        2: Field("f", Kind.FLOAT),
        3: Field("i", Kind.INT),
        4: Field("s", Kind.TEXT),
        5: Field("t", Kind.MESSAGE, message=_TENSOR),
        7: Field("floats", Kind.FLOAT, repeated=True),
        8: Field("ints", Kind.INT, repeated=True),
        13: _DOC,
        20: Field("type", Kind.ENUM),
    },
    refused={
        6: _NO_SUBGRAPHS,
        11: _NO_SUBGRAPHS,
        10: "it holds a list of tensors in an attribute",
        22: _NO_SPARSE,
        23: _NO_SPARSE,
        21: _NO_FUNCTIONS,
    },
)
_NODE: Final = Message(
    "NodeProto",
    {
        1: Field("input", Kind.TEXT, repeated=True),
        2: Field("output", Kind.TEXT, repeated=True),
        3: Field("name", Kind.TEXT),
        4: Field("op_type", Kind.TEXT),
        5: Field("attribute", Kind.MESSAGE, repeated=True, message=_ATTRIBUTE),
        6: _DOC,
        7: Field("domain", Kind.TEXT),
        9: _PROPS,
    },
)
_DIMENSION: Final = Message(
    "TensorShapeProto.Dimension",
    {
        1: Field("dim_value", Kind.INT),
        2: Field("dim_param", Kind.TEXT),
        3: Field("denotation", Kind.DATA, dropped=True),
    },
)
_SHAPE: Final = Message("TensorShapeProto", {1: Field("dim", Kind.MESSAGE, repeated=True, message=_DIMENSION)})
_TENSOR_TYPE: Final = Message(
    "TypeProto.Tensor",
    {1: Field("elem_type", Kind.ENUM), 2: Field("shape", Kind.MESSAGE, message=_SHAPE)},
)
_TYPE: Final = Message(
    "TypeProto",
    {1: Field("tensor_type", Kind.MESSAGE, message=_TENSOR_TYPE), 6: Field("denotation", Kind.DATA, dropped=True)},
)
_VALUE_INFO: Final = Message(
    "ValueInfoProto",
    {
        1: Field("name", Kind.TEXT),
        2: Field("type", Kind.MESSAGE, message=_TYPE),
        3: _DOC,
        4: _PROPS,
    },
)
_GRAPH: Final = Message(
    "GraphProto",
    {
        1: Field("node", Kind.MESSAGE, repeated=True, message=_NODE),
        2: Field("name", Kind.TEXT),
        5: Field("initializer", Kind.MESSAGE, repeated=True, message=_TENSOR),
        10: _DOC,
        11: Field("input", Kind.MESSAGE, repeated=True, message=_VALUE_INFO),
        12: Field("output", Kind.MESSAGE, repeated=True, message=_VALUE_INFO),
        # Shapes that the exporter recorded for intermediate tensors. Libraries infer them themselves.
        13: Field("value_info", Kind.MESSAGE, repeated=True, message=_VALUE_INFO, dropped=True),
        16: _PROPS,
    },
    refused={15: _NO_SPARSE, 14: "it holds quantization annotations; export QuantizeLinear and DequantizeLinear"},
)
_OPSET: Final = Message("OperatorSetIdProto", {1: Field("domain", Kind.TEXT), 2: Field("version", Kind.INT)})
_MODEL: Final = Message(
    "ModelProto",
    {
        1: Field("ir_version", Kind.INT),
        2: Field("producer_name", Kind.TEXT),
        3: Field("producer_version", Kind.TEXT),
        4: Field("domain", Kind.TEXT, dropped=True),
        5: Field("model_version", Kind.INT),
        6: _DOC,
        7: Field("graph", Kind.MESSAGE, message=_GRAPH),
        8: Field("opset_import", Kind.MESSAGE, repeated=True, message=_OPSET),
        14: _PROPS,
    },
    refused={20: _NO_FUNCTIONS, 25: _NO_FUNCTIONS},
)


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
class Tensor:
    """A tensor stored in the file.

    Attributes:
        element_type: a key of `ELEMENT_BYTES`.
        shape: sizes.
        data: elements as raw bytes, little-endian; often a view of the file's bytes.
    """

    element_type: int
    shape: tuple[int, ...]
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a graph.

    Attributes:
        name: may be empty.
        operator: one of `ALLOWED_OPERATORS`.
        inputs: names of tensors, empty for an omitted optional one.
        outputs: names of its results.
        attributes: name to number, text, numbers or tensor.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, float | int | str | tuple[float, ...] | tuple[int, ...] | Tensor]


@dataclass(frozen=True, slots=True)
class GraphSummary:
    """Summary of a graph.

    Attributes:
        opset: version of the standard operator set.
        operators: count of each operator.
        inputs: inputs that must be fed (without initializers).
        outputs: outputs.
        parameters: number of elements in all initializers.
    """

    opset: int
    operators: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: int


class Graph:
    """A fully parsed model.

    Attributes:
        opset: version of the standard operator set.
        nodes: in execution order.
        initializers: name to tensor.
        inputs: required inputs.
        outputs: results.
    """

    def __init__(self, model: Record, opset: int) -> None:
        """Check the parts against each other and store them.

        Args:
            model: as read by the table; converted to what `to_bytes` writes.
            opset: of the standard domain.

        Raises:
            CharacterError: it holds something forbidden in a character, or contradicts itself.
        """
        graph: Record = model["graph"]
        self._model = model
        self.opset = opset
        self.initializers: dict[str, Tensor] = {}
        for record in graph.get("initializer", []):
            name = record.get("name", "")
            if not name or name in self.initializers:
                raise CharacterError(f'it has an initializer without a name, or "{name[:80]}" twice')
            self.initializers[name] = _tensor(record)
        # An input that has an initializer need not be fed; it is rewritten as an initializer only.
        declared = graph.get("input", [])
        graph["input"] = [record for record in declared if record.get("name") not in self.initializers]
        for ends in (declared, graph.get("output", [])):
            if len(ends) > MAX_ENDS:
                raise CharacterError(f"it has {len(ends)} inputs or outputs; the limit is {MAX_ENDS}")
        self.inputs = tuple(map(_value_info, graph["input"]))
        self.outputs = tuple(map(_value_info, graph.get("output", [])))
        if not self.outputs or len({info.name for info in self.outputs}) < len(self.outputs):
            raise CharacterError("it has no output, or two have the same name")
        nodes = graph.get("node", [])
        if len(nodes) > MAX_NODES:
            raise CharacterError(f"it has more than {MAX_NODES} nodes")
        self.nodes = tuple(map(_node, nodes))
        self._check_names({str(record.get("name")) for record in declared}, len(declared))

    def _check_names(self, inputs: set[str], declared: int) -> None:
        """Check that every tensor is made once, before it is used."""
        if "" in inputs or "None" in inputs or len(inputs) < declared:
            raise CharacterError("an input has no name, or two have the same one")
        made = inputs | set(self.initializers)
        for node in self.nodes:
            for name in filter(None, node.inputs):
                if name not in made:
                    raise CharacterError(f'{node.operator} takes "{name[:80]}", which no earlier node makes')
            for name in filter(None, node.outputs):
                if name in made:
                    raise CharacterError(f'it makes "{name[:80]}" twice')
                made.add(name)
        for info in self.outputs:
            if info.name not in made:
                raise CharacterError(f'its output "{info.name[:80]}" is made by no node')

    def to_bytes(self) -> bytes:
        """Serialise only what was understood. The result is the only copy of large tensors."""
        return write(_MODEL, self._model)

    def summary(self) -> GraphSummary:
        """Summary of the model."""
        operators: dict[str, int] = {}
        for node in self.nodes:
            operators[node.operator] = operators.get(node.operator, 0) + 1
        parameters = sum(math.prod(tensor.shape) for tensor in self.initializers.values())
        return GraphSummary(self.opset, operators, self.inputs, self.outputs, parameters)


def read_graph(model: bytes | memoryview) -> Graph:
    """Read a serialised ONNX model and refuse what a character must not contain.

    Args:
        model: the bytes of one `.onnx` file; the result points into them.

    Raises:
        CharacterError: not an ONNX model, anything not in the tables of this module or open to two
            readings, an operator outside `ALLOWED_OPERATORS`, a foreign domain, or an opset outside `OPSETS`.
    """
    record = Reader().read(_MODEL, memoryview(model).cast("B"))
    if "graph" not in record:
        raise CharacterError("it is not an ONNX model with one graph")
    ir_version = record.get("ir_version", 0)
    if ir_version not in IR_VERSIONS:
        raise CharacterError(
            f"it has IR version {ir_version}; this release reads {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}"
        )
    imports = record.get("opset_import", [])
    for domain in (entry.get("domain", "") for entry in imports):
        if not _is_standard(domain):
            raise CharacterError(f'it names operators of the foreign domain "{domain[:80]}"')
    if len(imports) != 1:
        raise CharacterError("it must name the standard operator set, once")
    imports[0]["domain"] = ""
    opset = imports[0].get("version", 0)
    if opset not in OPSETS:
        raise CharacterError(f"it needs opset {opset}; this release reads {OPSETS.start} to {OPSETS.stop - 1}")
    return Graph(record, opset)


def summarise(model: bytes | memoryview) -> GraphSummary:
    """Summary of what `read_graph` finds.

    Raises:
        CharacterError: as `read_graph`.
    """
    return read_graph(model).summary()


def _is_standard(domain: str) -> bool:
    return domain in ("", "ai.onnx")


def _node(record: Record) -> Node:
    operator, domain = record.get("op_type", ""), record.get("domain", "")
    if not _is_standard(domain):
        raise CharacterError(f'operator "{operator[:80]}" comes from the foreign domain "{domain[:80]}"')
    if operator not in ALLOWED_OPERATORS:
        raise CharacterError(f'operator "{operator[:80]}" is not allowed')
    record.pop("domain", None)  # its two spellings are equivalent, and not every library knows both
    attributes = {}
    for attribute in record.get("attribute", []):
        name = attribute.get("name", "")
        if not name or name in attributes:
            raise CharacterError(f'{operator} has an attribute without a name, or "{name[:80]}" twice')
        attributes[name] = _attribute(operator, name, attribute)
    inputs, outputs = tuple(record.get("input", [])), tuple(record.get("output", []))
    return Node(record.get("name", ""), operator, inputs, outputs, attributes)


def _attribute(
    operator: str, name: str, record: Record
) -> float | int | str | tuple[float, ...] | tuple[int, ...] | Tensor:
    kind = record.get("type")
    filled = _ATTRIBUTE_TYPES.get(kind) if kind is not None else None
    if filled is None:
        raise CharacterError(f'attribute "{name[:80]}" of {operator} has the type {kind}, which no character needs')
    if set(record) - {"name", "type"} - ({filled} if filled in ("floats", "ints") else set()) != (
        set() if filled in ("floats", "ints") else {filled}
    ):
        raise CharacterError(f'attribute "{name[:80]}" of {operator} has the type {kind} and holds something else')
    if filled == "t":
        if (operator, name) not in TENSOR_ATTRIBUTES:
            raise CharacterError(f'attribute "{name[:80]}" of {operator} holds a tensor, which does not belong there')
        return _tensor(record["t"])
    if filled == "f":
        return _number(record["f"])
    if filled == "floats":
        return tuple(map(_number, record.get("floats", [])))
    if filled == "ints":
        return tuple(record.get("ints", []))
    value: int | str = record[filled]
    return value


def _number(data: bytes) -> float:
    value: float = struct.unpack("<f", data)[0]
    return value


def _tensor(record: Record) -> Tensor:
    """Check a tensor, and convert its record to one with raw bytes."""
    if record.pop("data_location", 0) != 0:
        raise CharacterError(_NO_EXTERNAL)
    element_type, shape = record.get("data_type", 0), tuple(record.get("dims", []))
    if element_type not in ELEMENT_BYTES:
        raise CharacterError(f"it holds a tensor of the element type {element_type}, which no character needs")
    elements = math.prod(shape)
    if len(shape) > MAX_DIMS or min(shape, default=0) < 0 or elements > MAX_ELEMENTS:
        raise CharacterError(f"it declares a tensor of {list(shape[:MAX_DIMS])}; no character needs that")
    lists = [name for name in _TYPED if name in record]
    if len(lists) + ("raw_data" in record) > 1:
        raise CharacterError("it holds a tensor whose elements are given twice")
    if lists:
        record["raw_data"] = _raw_from(lists[0], record.pop(lists[0]), element_type)
    data = record.setdefault("raw_data", b"")
    if len(data) != elements * ELEMENT_BYTES[element_type]:
        raise CharacterError(f"it holds a tensor of {list(shape)} with {len(data)} bytes")
    if element_type == BOOL and elements and np.frombuffer(data, np.uint8).max() > 1:
        raise CharacterError("it holds a boolean that is neither true nor false")
    return Tensor(element_type, shape, data)


def _raw_from(field: str, data: memoryview, element_type: int) -> bytes | memoryview:
    """The elements of a list of numbers as raw bytes."""
    if element_type not in _TYPED[field]:
        raise CharacterError(f"it holds a tensor of the element type {element_type} as {field}")
    if field in ("float_data", "double_data"):
        return data  # packed, they are the same bytes
    numbers = [signed(value) for value in varints(data, most=_LONGEST_LIST)]
    size = ELEMENT_BYTES[element_type]
    low, high = _RANGES.get(element_type, (0, (1 << 8 * size) - 1))
    if any(not low <= number <= high for number in numbers):
        raise CharacterError(f"it holds a tensor with a number outside {low}..{high}")
    return b"".join(number.to_bytes(size, "little", signed=low < 0) for number in numbers)


def _value_info(record: Record) -> TensorInfo:
    name, kind = record.get("name", ""), record.get("type", {})
    if not name or "tensor_type" not in kind or "shape" not in kind["tensor_type"]:
        raise CharacterError(f'"{name[:80]}" is not a tensor with a shape')
    element_type = kind["tensor_type"].get("elem_type", 0)
    shape = tuple(map(_dimension, kind["tensor_type"]["shape"].get("dim", [])))
    if element_type not in ELEMENT_BYTES or len(shape) > MAX_DIMS:
        raise CharacterError(f'"{name[:80]}" has the element type {element_type} and {len(shape)} dimensions')
    return TensorInfo(name, element_type, shape)


def _dimension(record: Record) -> int | None:
    if len(record) > 1 or record.get("dim_value", 1) < 1:
        raise CharacterError("it has an input or output with an invalid size")
    size: int | None = record.get("dim_value")
    return size
