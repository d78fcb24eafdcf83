"""Cost of running a graph once, from sizes alone: multiply-adds, bytes, and whether they are fixed.

Propagates tensor sizes, and values of the small tensors that sizes are computed from, through the allowed operators for
a batch of one. What cannot be followed is left open and decided by a trial run; but a size that depends on input values
is refused, because no trial could find the pose that makes it explode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import CharacterError

from .onnx_graph import BOOL, DOUBLE, ELEMENT_BYTES, FLOAT, FLOAT16, INT32, INT64, MAX_DIMS, UINT8, Graph, Node, Tensor

MAX_MULTIPLY_ADDS: Final = 1 << 38  # one picture; a processor needs ten seconds for this, a game's frame has 2^31
MAX_TENSOR_BYTES: Final = 1 << 30
MAX_MADE_BYTES: Final = 8 << 30  # all tensors made for one picture, most of them short-lived

Shape = tuple[int, ...]
Values = npt.NDArray[Any]

_FOLLOWED: Final = 64  # elements; larger tensors never hold sizes
_DTYPES: Final = {FLOAT: np.float32, INT32: np.int32, INT64: np.int64, BOOL: np.bool_, FLOAT16: np.float16}
_DTYPES_OUT: Final = {**_DTYPES, DOUBLE: np.float64, UINT8: np.uint8}

# Inputs, by position, whose values become sizes or positions.
_SIZES: Final = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one picture, as far as it could be followed.

    Attributes:
        multiply_adds: in convolutions and matrix products.
        largest_bytes: of the largest tensor.
        made_bytes: of all intermediate tensors.
        open_nodes: steps whose result could not be followed.
    """

    multiply_adds: int
    largest_bytes: int
    made_bytes: int
    open_nodes: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a tensor in advance.

    Attributes:
        shape: sizes; None if not followed.
        values: elements, if there are few and they do not depend on the input.
        fed: whether its elements depend on the input.
        item_bytes: of one element, 4 if the type was not followed.
    """

    shape: Shape | None
    values: Values | None = None
    fed: bool = False
    item_bytes: int = 4


def cost_of(graph: Graph, *, batch: int = 1) -> Cost:
    """Follow a graph once.

    Args:
        graph: read by `read_graph`.
        batch: size used where inputs leave one open.

    Raises:
        CharacterError: it exceeds the limits of this module, or its sizes depend on input values.
    """
    known = {name: _of_tensor(tensor) for name, tensor in graph.initializers.items()}
    for info in graph.inputs:
        shape = tuple(batch if size is None else size for size in info.shape)
        known[info.name] = _Known(shape, fed=True, item_bytes=ELEMENT_BYTES[info.element_type])
    multiply_adds = largest = made = left_open = 0
    for node in graph.nodes:
        inputs = [known.get(name) for name in node.inputs]
        for position in _SIZES.get(node.operator, ()):
            given = inputs[position] if position < len(inputs) else None
            if given is not None and given.fed:
                raise CharacterError(f"the size that {node.operator} makes depends on what is fed; export fixed sizes")
        outputs = _follow(node, inputs)
        for name, output in zip(node.outputs, outputs, strict=False):
            known[name] = output
            if output.shape is None:
                left_open += 1
                continue
            if len(output.shape) > MAX_DIMS or min(output.shape, default=0) < 0:
                raise CharacterError(f"{node.operator} makes a tensor of {list(output.shape[:MAX_DIMS])}")
            size = math.prod(output.shape) * output.item_bytes
            largest, made = max(largest, size), made + size
        multiply_adds += _multiply_adds(node, inputs, outputs)
        for value, limit, what in (
            (largest, MAX_TENSOR_BYTES, "bytes in one tensor"),
            (made, MAX_MADE_BYTES, "bytes in all tensors on the way to a picture"),
            (multiply_adds, MAX_MULTIPLY_ADDS, "multiply-adds for a picture"),
        ):
            if value > limit:
                raise CharacterError(f"it takes {value:.3g} {what}; the limit is {limit:.3g}")
    return Cost(multiply_adds, largest, made, left_open)


def _of_tensor(tensor: Tensor) -> _Known:
    values: Values | None = None
    dtype = _DTYPES.get(tensor.element_type)
    if dtype is not None and math.prod(tensor.shape) <= _FOLLOWED:
        values = np.frombuffer(tensor.data, dtype).reshape(tensor.shape)
    return _Known(tensor.shape, values, item_bytes=ELEMENT_BYTES[tensor.element_type])


def _follow(node: Node, inputs: Sequence[_Known | None]) -> list[_Known]:
    """What is known of a node's outputs."""
    fed = node.operator not in ("Shape", "Size") and any(given is not None and given.fed for given in inputs)
    item_bytes = _item_bytes(node, inputs)
    try:
        shapes = _shapes(node, inputs)
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError, OverflowError):
        shapes = [None]  # the sizes do not match, or are not followed; a library will report it
    values = None
    if not fed and shapes and shapes[0] is not None and math.prod(shapes[0]) <= _FOLLOWED:
        values = _values(node, inputs, shapes[0])
    first = _Known(shapes[0] if shapes else None, values, fed, item_bytes)
    rest = [_Known(shape, None, fed, item_bytes) for shape in shapes[1:]]
    return [first, *rest, *(_Known(None, None, fed, item_bytes) for _ in range(len(node.outputs) - 1 - len(rest)))]


def _item_bytes(node: Node, inputs: Sequence[_Known | None]) -> int:
    if node.operator == "Cast":
        to = node.attributes.get("to", FLOAT)
        return ELEMENT_BYTES.get(to, 4) if isinstance(to, int) else 4
    if node.operator in ("Shape", "Size"):
        return 8
    if node.operator == "Constant" and isinstance(node.attributes.get("value"), Tensor):
        return _of_tensor(_tensor(node, "value")).item_bytes
    if node.operator in ("QuantizeLinear", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Not"):
        return 1
    if node.operator in ("DequantizeLinear", "Range", "ConstantOfShape"):
        return 8 if node.operator == "Range" else 4
    likely = inputs[1] if node.operator in ("Where", "CastLike") and len(inputs) > 1 else next(iter(inputs), None)
    return likely.item_bytes if likely is not None else 4


def _tensor(node: Node, name: str) -> Tensor:
    value = node.attributes[name]
    if not isinstance(value, Tensor):
        raise TypeError(name)
    return value


def _ints(node: Node, name: str, otherwise: Sequence[int]) -> list[int]:
    value = node.attributes.get(name)
    return [int(each) for each in value] if isinstance(value, tuple) else list(otherwise)


def _int(node: Node, name: str, otherwise: int) -> int:
    value = node.attributes.get(name, otherwise)
    return value if isinstance(value, int) else otherwise


def _shape_of(inputs: Sequence[_Known | None], position: int = 0) -> Shape:
    given = inputs[position]
    if given is None or given.shape is None:
        raise TypeError("not followed")
    return given.shape


def _numbers(inputs: Sequence[_Known | None], position: int) -> list[Any]:
    given = inputs[position]
    if given is None or given.values is None:
        raise TypeError("not followed")
    listed: list[Any] = given.values.reshape(-1).tolist()
    return listed


def _has(inputs: Sequence[_Known | None], position: int) -> bool:
    return position < len(inputs) and inputs[position] is not None


def _axes(node: Node, inputs: Sequence[_Known | None], rank: int) -> list[int]:
    """Axes from the attribute of older operator sets, or from the second input."""
    axes = _numbers(inputs, 1) if _has(inputs, 1) else _ints(node, "axes", [])
    return [int(axis) % rank if rank else 0 for axis in axes]


def _shapes(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    """Sizes of a node's outputs; raises arithmetic errors where they cannot be followed."""
    special = _SHAPES.get(node.operator)
    if special is not None:
        return special(node, inputs)
    if node.operator in _LIKE_FIRST:
        return [_shape_of(inputs)]
    # All others are element-wise.
    return [_broadcast(*(_shape_of(inputs, place) for place in range(len(inputs)) if _has(inputs, place)))]


def _broadcast(*shapes: Shape) -> Shape:
    """Broadcast as in numpy, for sizes beyond any array's."""
    rank = max(map(len, shapes))
    sides = []
    for places in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        larger = {size for size in places if size != 1}
        if len(larger) > 1:
            raise ValueError("the sizes do not match")
        sides.append(larger.pop() if larger else 1)
    return tuple(sides)


_LIKE_FIRST: Final = frozenset(
    [
        "BatchNormalization",
        "CastLike",
        "Clip",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LpNormalization",
        "QuantizeLinear",
    ]
)


def _constant(node: Node, _: Sequence[_Known | None]) -> list[Shape | None]:
    for name, value in node.attributes.items():
        if isinstance(value, Tensor):
            return [value.shape]
        if name in ("value_floats", "value_ints") and isinstance(value, tuple):
            return [(len(value),)]
    return [()]


def _conv(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, kernel = _shape_of(inputs), _shape_of(inputs, 1)
    return [(data[0], kernel[0], *_windows(node, data[2:], kernel[2:]))]


def _conv_transpose(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, kernel = _shape_of(inputs), _shape_of(inputs, 1)
    rank = len(data) - 2
    strides, dilations = _ints(node, "strides", [1] * rank), _ints(node, "dilations", [1] * rank)
    pads, more = _ints(node, "pads", [0] * 2 * rank), _ints(node, "output_padding", [0] * rank)
    given = _ints(node, "output_shape", [])
    sides = given or [
        strides[axis] * (data[2 + axis] - 1)
        + more[axis]
        + (kernel[2 + axis] - 1) * dilations[axis]
        + 1
        - (0 if node.attributes.get("auto_pad", "NOTSET") != "NOTSET" else pads[axis] + pads[rank + axis])
        for axis in range(rank)
    ]
    return [(data[0], kernel[1] * _int(node, "group", 1), *sides)]


def _pool(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = _shape_of(inputs)
    pooled = (*data[:2], *_windows(node, data[2:], _ints(node, "kernel_shape", [])))
    return [pooled] * len(node.outputs)


def _windows(node: Node, sides: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Number of window positions; padding chosen by name never exceeds one per stride."""
    rank = len(sides)
    strides, dilations = _ints(node, "strides", [1] * rank), _ints(node, "dilations", [1] * rank)
    pads = _ints(node, "pads", [0] * 2 * rank)
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]
    ceil = _int(node, "ceil_mode", 0)
    return [
        max(
            0,
            (
                sides[axis]
                + pads[axis]
                + pads[rank + axis]
                - dilations[axis] * (kernel[axis] - 1)
                - 1
                + ceil * (strides[axis] - 1)
            )
            // strides[axis]
            + 1,
        )
        for axis in range(rank)
    ]


def _global_pool(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = _shape_of(inputs)
    return [(*data[:2], *(1 for _ in data[2:]))]


def _matmul(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    left, right = _shape_of(inputs), _shape_of(inputs, 1)
    first = (1, *left) if len(left) == 1 else left
    second = (*right, 1) if len(right) == 1 else right
    stack = _broadcast(first[:-2], second[:-2])
    return [(*stack, *(first[-2:-1] if len(left) > 1 else ()), *(second[-1:] if len(right) > 1 else ()))]


def _gemm(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    left, right = _shape_of(inputs), _shape_of(inputs, 1)
    rows = left[1] if _int(node, "transA", 0) else left[0]
    return [(rows, right[0] if _int(node, "transB", 0) else right[1])]


def _reshape(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, wanted = _shape_of(inputs), [int(size) for size in _numbers(inputs, 1)]
    if not _int(node, "allowzero", 0):
        wanted = [data[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if -1 in wanted:
        wanted[wanted.index(-1)] = math.prod(data) // math.prod(size for size in wanted if size != -1)
    return [tuple(wanted)]


def _flatten(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, axis = _shape_of(inputs), _int(node, "axis", 1)
    return [(math.prod(data[:axis]), math.prod(data[axis:]))]


def _transpose(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = _shape_of(inputs)
    return [tuple(data[axis] for axis in _ints(node, "perm", range(len(data) - 1, -1, -1)))]


def _concat(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    shapes = [_shape_of(inputs, place) for place in range(len(inputs))]
    axis = _int(node, "axis", 0) % len(shapes[0])
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _split(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = _shape_of(inputs)
    axis = _int(node, "axis", 0) % len(data)
    count = len(node.outputs)
    size = -(-data[axis] // count)
    parts = _numbers(inputs, 1) if _has(inputs, 1) else [min(size, data[axis] - size * each) for each in range(count)]
    return [(*data[:axis], int(part), *data[axis + 1 :]) for part in parts]


def _squeeze(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = _shape_of(inputs)
    axes = _axes(node, inputs, len(data)) or [axis for axis, size in enumerate(data) if size == 1]
    return [tuple(size for axis, size in enumerate(data) if axis not in axes)]


def _unsqueeze(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = list(_shape_of(inputs))
    for axis in sorted(_axes(node, inputs, len(data) + (len(_numbers(inputs, 1)) if _has(inputs, 1) else 0))):
        data.insert(axis, 1)
    return [tuple(data)]


def _slice(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = list(_shape_of(inputs))
    starts, ends = _numbers(inputs, 1), _numbers(inputs, 2)
    axes = _numbers(inputs, 3) if _has(inputs, 3) else range(len(starts))
    steps = _numbers(inputs, 4) if _has(inputs, 4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        data[axis] = len(range(*slice(start, end, step).indices(data[axis])))
    return [tuple(data)]


def _gather(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, indices = _shape_of(inputs), _shape_of(inputs, 1)
    axis = _int(node, "axis", 0) % len(data)
    return [(*data[:axis], *indices, *data[axis + 1 :])]


def _second(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    return [_shape_of(inputs, 1)]


def _pad(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, pads = _shape_of(inputs), [int(pad) for pad in _numbers(inputs, 1)]
    axes = [int(axis) for axis in _numbers(inputs, 3)] if _has(inputs, 3) else range(len(data))
    sides = list(data)
    for index, axis in enumerate(axes):
        sides[axis] += pads[index] + pads[len(pads) // 2 + index]
    return [tuple(sides)]


def _expand(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    return [_broadcast(_shape_of(inputs), tuple(int(size) for size in _numbers(inputs, 1)))]


def _tile(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    return [tuple(size * int(times) for size, times in zip(_shape_of(inputs), _numbers(inputs, 1), strict=True))]


def _constant_of_shape(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    return [tuple(int(size) for size in _numbers(inputs, 0))]


def _range(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    start, limit, delta = (_numbers(inputs, place)[0] for place in range(3))
    return [(max(0, math.ceil((limit - start) / delta)),)]


def _resize(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = list(_shape_of(inputs))
    axes = _ints(node, "axes", range(len(data)))
    if _has(inputs, 3):
        for axis, size in zip(axes, _numbers(inputs, 3), strict=True):
            data[axis] = int(size)
    else:
        for axis, scale in zip(axes, _numbers(inputs, 2), strict=True):
            data[axis] = math.floor(data[axis] * scale)
    return [tuple(data)]


def _depth_to_space(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    batch, channels, height, width = _shape_of(inputs)
    block = _int(node, "blocksize", 1)
    return [(batch, channels // block**2, height * block, width * block)]


def _space_to_depth(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    batch, channels, height, width = _shape_of(inputs)
    block = _int(node, "blocksize", 1)
    return [(batch, channels * block**2, height // block, width // block)]


def _grid_sample(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data, grid = _shape_of(inputs), _shape_of(inputs, 1)
    return [(*data[:2], *grid[1:-1])]


def _reduce(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    data = _shape_of(inputs)
    axes = _axes(node, inputs, len(data)) or ([] if _int(node, "noop_with_empty_axes", 0) else list(range(len(data))))
    if _int(node, "keepdims", 1):
        return [tuple(1 if axis in axes else size for axis, size in enumerate(data))]
    return [tuple(size for axis, size in enumerate(data) if axis not in axes)]


def _shape(node: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    return [(len(_part(node, _shape_of(inputs))),)]


def _part(node: Node, shape: Shape) -> Shape:
    end = node.attributes.get("end")
    return shape[_int(node, "start", 0) : end if isinstance(end, int) else None]


def _size(_: Node, inputs: Sequence[_Known | None]) -> list[Shape | None]:
    _shape_of(inputs)
    return [()]


_SHAPES: Final[dict[str, Callable[[Node, Sequence[_Known | None]], list[Shape | None]]]] = {
    "AveragePool": _pool,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _second,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GridSample": _grid_sample,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "Range": _range,
    **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"), _reduce),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}


def _values(node: Node, inputs: Sequence[_Known | None], shape: Shape) -> Values | None:
    """Elements of a small tensor that does not depend on the input; None if not followed."""
    try:
        with np.errstate(all="ignore"):
            if node.operator == "Constant":
                return _constant_values(node)
            if node.operator == "Shape":
                return np.array(_part(node, _shape_of(inputs)), np.int64)
            if node.operator == "Size":
                return np.array(math.prod(_shape_of(inputs)), np.int64)
            if node.operator == "ConstantOfShape":
                given = _of_tensor(_tensor(node, "value")).values if "value" in node.attributes else np.zeros(1)
                return None if given is None else np.full(shape, given.reshape(-1)[0])
            return _computed(node, [each.values if each is not None else None for each in inputs], shape)
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError, OverflowError):
        return None


def _constant_values(node: Node) -> Values | None:
    for name, value in node.attributes.items():
        if isinstance(value, Tensor):
            return _of_tensor(value).values
        if name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        if name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
    return None


def _computed(node: Node, given: Sequence[Values | None], shape: Shape) -> Values | None:
    """Arithmetic on the few elements from which exporters compute sizes."""
    if any(values is None for values in given):
        return None
    parts = [values for values in given if values is not None]
    operator, first = node.operator, parts[0]
    if operator in ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return first.reshape(shape)
    if operator == "Cast":
        dtype = _DTYPES_OUT.get(_int(node, "to", 0))
        return None if dtype is None else first.astype(dtype)
    if operator == "Concat":
        return np.concatenate(parts, _int(node, "axis", 0))
    if operator == "Gather":
        return np.take(first, parts[1].astype(np.int64), _int(node, "axis", 0))
    if operator == "Slice":
        axes = parts[3] if len(parts) > 3 else range(len(parts[1]))
        steps = parts[4] if len(parts) > 4 else [1] * len(parts[1])
        cut = [slice(None)] * first.ndim
        for start, end, axis, step in zip(parts[1], parts[2], axes, steps, strict=True):
            cut[int(axis)] = slice(int(start), int(end), int(step))
        return first[tuple(cut)]
    if operator == "Where":
        return np.where(parts[0], parts[1], parts[2])
    if operator == "Expand":
        return np.broadcast_to(first, shape)
    if operator == "Range":
        return np.arange(*(part.item() for part in parts), dtype=first.dtype)
    if operator == "Div" and first.dtype.kind in "iu":
        return np.asarray(np.trunc(first / parts[1])).astype(first.dtype)
    function = _ARITHMETIC.get(operator)
    return None if function is None else np.asarray(function(*parts))


_ARITHMETIC: Final[dict[str, Callable[..., Any]]] = {
    "Abs": np.abs,
    "Add": np.add,
    "Ceil": np.ceil,
    "Div": np.divide,
    "Equal": np.equal,
    "Floor": np.floor,
    "Greater": np.greater,
    "Less": np.less,
    "Max": lambda *parts: np.max(np.stack(np.broadcast_arrays(*parts)), 0),
    "Min": lambda *parts: np.min(np.stack(np.broadcast_arrays(*parts)), 0),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Sub": np.subtract,
}


def _multiply_adds(node: Node, inputs: Sequence[_Known | None], outputs: Sequence[_Known]) -> int:
    """Multiply-adds of a convolution or matrix product; everything else counts by the bytes it makes."""
    made = outputs[0].shape if outputs else None
    try:
        if node.operator == "Conv" and made is not None:
            return math.prod(made) * math.prod(_shape_of(inputs, 1)[1:])
        if node.operator == "ConvTranspose":
            return math.prod(_shape_of(inputs)) * math.prod(_shape_of(inputs, 1)[1:])
        if node.operator == "MatMul" and made is not None:
            return math.prod(made) * _shape_of(inputs)[-1]
        if node.operator == "Gemm" and made is not None:
            return math.prod(made) * _shape_of(inputs)[0 if _int(node, "transA", 0) else 1]
        if node.operator in ("AveragePool", "MaxPool") and made is not None:
            return math.prod(made) * math.prod(_ints(node, "kernel_shape", []))
    except (TypeError, IndexError):
        return 0
    return 0
