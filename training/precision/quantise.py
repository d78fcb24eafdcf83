"""A generator in eight bits: the same ONNX graph with quantised convolutions.

Static post-training quantisation, symmetric (zero point 0), one scale per tensor for activations and one per output
channel for weights: the form that ONNX Runtime, OpenVINO and TensorRT all run. The pairs of QuantizeLinear and
DequantizeLinear are placed here instead of by `onnxruntime.quantization.quantize_static`, because that recalibrates
for each choice of layers, writes files, and rounds in front of every Add and Resize as well.

Both ends of a convolution are quantised. ONNX Runtime needs the second one for its integer kernels (8.5 ms in fp32 at
512 px, 10.6 with the first end alone, 5.9 with both); OpenVINO does not (8.7 ms in fp32, 4.0 and 5.0).
Biases stay fp32: ONNX Runtime rounds them itself, and NVIDIA's parser refuses them as int32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from engine_bridge.errors import CharacterError
from training.layers import SLOPE
from training.onnx_export import halve_weights
from training.precision.trajectories import Poses

Floats = npt.NDArray[np.float32]

BINS = 2048  # of each half of a histogram
LARGEST = 127  # -128 stays unused, so that the codes are symmetric
# Scales minimise the sum of |error| ** NORM. Below 3 rare large values are clipped, which single frames pay for; above,
# all frames pay. Worst 1 % and median of frames on the 512 px network: 31.5 and 37.4 dB at 2, 34.7 and 37.7 at 3.
NORM = 3.0
# How much of a channel's reach moves from the activations into the weights, see `_equalise`: 0.5 and 0.7 differ by
# 0.3 dB, 0 loses 4 dB.
SMOOTHING = 0.7
MOST_SMOOTHING = 32.0
BATCH = 4
MIDDLE = 128.0  # of a byte: the head outputs bytes minus this, whose rounding to codes is the rounding to bytes


@dataclass(frozen=True)
class Prepared:
    """A generator prepared for quantisation, any number of times.

    Attributes:
        model: equalised, weights in fp32; immutable.
        scales: of every tensor at either end of a convolution.
        layers: names of the convolutions, in order.
    """

    model: onnx.ModelProto
    scales: dict[str, float]
    layers: tuple[str, ...]


def prepare(graph: bytes, poses: Poses) -> Prepared:
    """Calibrate a generator.

    Args:
        graph: ONNX of `training.decoder.graphs.generator_graph`.
        poses: representative inputs; every other pose would be a guess.

    Raises:
        CharacterError: the graph has no convolution with constant weights.
    """
    model = _with_plain_weights(onnx.load_from_string(graph))
    layers = tuple(node.name for node in _convolutions(model))
    if not layers or len(set(layers)) != len(layers):
        raise CharacterError("The generator has no convolutions with names of their own. Export it again.")
    _equalise(model, poses)
    ends = _ends(model)
    reach = {name: float(values.max()) for name, values in _reach(model, ends, poses).items()}
    counts = {name: np.zeros(2 * BINS) for name in ends}
    for values in _activations(model, ends, poses):
        for name, value in values.items():
            place = (value.ravel() / np.float32(max(reach[name] * 1.0001, 1e-12)) + 1) * np.float32(BINS)
            counts[name] += np.bincount(place.astype(np.int32), minlength=2 * BINS)[: 2 * BINS]
    scales = {name: best_scale(reach[name], counts[name]) for name in ends}
    for name in _bent(model):
        scales[name] = best_scale(reach[name], counts[name], slope=SLOPE)
    return Prepared(model, scales, layers)


def quantise(prepared: Prepared, *, keep_float: Collection[str] = ()) -> bytes:
    """The quantised graph.

    Args:
        prepared: see `prepare`.
        keep_float: names of layers to keep in fp32.
    """
    model = onnx.ModelProto()
    model.CopyFrom(prepared.model)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    zero = "int8_zero"
    added = [
        numpy_helper.from_array(np.zeros((), np.int8), zero),
        numpy_helper.from_array(np.array(MIDDLE, np.float32), "middle"),
    ]
    nodes: list[onnx.NodeProto] = []
    rounded: dict[str, str] = {}  # tensor to the same tensor after rounding
    results: dict[str, str] = {}  # those whose readers all use the rounded one; a trunk stays unrounded for others

    def round_trip(name: str) -> str:
        if name not in rounded:
            scale = f"{name}_scale"
            step = 1.0 if name in clipped else prepared.scales[name]
            added.append(numpy_helper.from_array(np.array(step, np.float32), scale))
            nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_int8"], f"{name}_q"))
            again = [f"{name}_int8", scale, zero]
            nodes.append(helper.make_node("DequantizeLinear", again, [f"{name}_rounded"], f"{name}_dq"))
            rounded[name] = f"{name}_rounded"
        return rounded[name]

    def in_codes(name: str) -> str:
        codes, scales = round_weights(numpy_helper.to_array(weights[name]))
        for kind, values in (("codes", codes), ("scales", scales), ("zeros", np.zeros(len(scales), np.int8))):
            added.append(numpy_helper.from_array(values, f"{name}_{kind}"))
        parts = [f"{name}_codes", f"{name}_scales", f"{name}_zeros"]
        nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}_rounded"], f"{name}_dq", axis=0))
        return f"{name}_rounded"

    clipped = {node.input[0]: node for node in graph.node if node.op_type == "Clip"}
    for node in graph.node:
        integer = node.op_type == "Conv" and node.name in prepared.layers and node.name not in keep_float
        entry = node.input[0] if integer else ""
        for index, name in enumerate(node.input):
            node.input[index] = results.get(name, name)
        if integer:
            node.input[0] = round_trip(entry)
            node.input[1] = in_codes(node.input[1])
            if node.output[0] in clipped:
                less = numpy_helper.to_array(weights[node.input[2]]) - np.float32(MIDDLE + 0.5)
                node.input[2] = f"{node.input[2]}_less"
                added.append(numpy_helper.from_array(less, node.input[2]))
        if node.op_type == "Clip" and node.input[0] in results.values():
            # Nothing is left to clip, but without it OpenVINO carries the codes through the layout: 1.7 ms at 512 px.
            whole = f"{node.input[0]}_whole"
            nodes.append(helper.make_node("Add", [node.input[0], "middle"], [whole], whole))
            node.input[0] = whole
        nodes.append(node)
        if integer:
            results[node.output[0]] = round_trip(node.output[0])
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in (*graph.initializer, *added) if tensor.name in used]
    quantised = helper.make_graph(nodes, graph.name, graph.input, graph.output, kept)
    model.graph.CopyFrom(quantised)
    halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def best_scale(reach: float, counts: npt.NDArray[np.float64], *, slope: float = 1.0) -> float:
    """The step between two codes with the least loss.

    Args:
        reach: largest magnitude.
        counts: histogram over -reach..reach.
        slope: factor applied to negative values later.
    """
    middles = (np.arange(len(counts)) + 0.5) * (2 * reach / len(counts)) - reach
    weights, middles = np.where(middles < 0, slope, 1.0) ** NORM, np.abs(middles)
    best, least = reach / LARGEST, np.inf
    for share in np.geomspace(0.03, 1.0, 120):
        limit = reach * share
        step = limit / LARGEST
        # Inside, the error is uniform over half a step to either side; outside, it is the clipped part.
        inside = (step / 2) ** NORM / (NORM + 1)
        outside = np.maximum(middles - limit, 0) ** NORM
        loss = float((counts * weights * np.where(middles <= limit, inside, outside)).sum())
        if loss < least:
            best, least = step, loss
    return max(best, 1e-12)


def round_weights(weight: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Codes and, per output channel, scales: int8 [O, ...] and float32 [O].

    The scale is the largest weight's; narrower scales that minimise the squared error of the weights cost 2.5 dB.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    scales = (np.maximum(largest, 1e-8) / LARGEST).astype(np.float32)
    codes = np.clip(np.round(weight / _columns(scales, weight.ndim)), -LARGEST, LARGEST)
    return codes.astype(np.int8), scales


def _columns(values: Floats, dimensions: int) -> Floats:
    shaped: Floats = values.reshape(-1, *[1] * (dimensions - 1))
    return shaped


def _convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and len(node.input) == 3 and set(node.input[1:]) <= constants
    ]


def _ends(model: onnx.ModelProto) -> list[str]:
    return sorted({name for node in _convolutions(model) for name in (node.input[0], node.output[0])})


def _bent(model: onnx.ModelProto) -> set[str]:
    """Results of convolutions that only LeakyReLU reads, so that errors below zero matter less."""
    bends = {node.input[0] for node in model.graph.node if node.op_type == "LeakyRelu"}
    return bends & {node.output[0] for node in _convolutions(model)}


def _with_plain_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold the fp16 weights and their casts back into fp32 weights."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Cast" and node.input[0] in stored:
            tensor = stored[node.input[0]]
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
            graph.node.remove(node)
    return model


def _activations(model: onnx.ModelProto, names: list[str], poses: Poses) -> Iterator[dict[str, Floats]]:
    """Values of inner tensors, batch by batch."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in names:
        watched.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for start in range(0, len(poses.w), BATCH):
        rows = slice(start, start + BATCH)
        found = session.run(names, {"w": poses.w[rows], "controls": poses.controls[rows]})
        yield dict(zip(names, found, strict=True))


def _reach(model: onnx.ModelProto, names: list[str], poses: Poses) -> dict[str, Floats]:
    """The largest magnitude of each channel, over all poses; for names of [N, C, H, W]."""
    reach: dict[str, Floats] = {}
    for values in _activations(model, names, poses):
        for name, value in values.items():
            largest = np.abs(value).max((0, 2, 3))
            reach[name] = np.maximum(reach[name], largest) if name in reach else largest
    return reach


def _equalise(model: onnx.ModelProto, poses: Poses) -> None:
    """Scale channels up and down, without changing the picture, so that one scale per tensor suits them all.

    A factor divided out of a channel in front of a convolution is multiplied into its weights (SmoothQuant,
    Xiao 2022, arXiv:2211.10438; between two convolutions Nagel 2019, arXiv:1906.04721). LeakyReLU lets factors above
    zero through; in a modulated block they go into the small modulating tensors. The trunk itself is unchanged:
    its channels are read by too many convolutions for one factor to suit them all.
    """
    blocks = _hidden_channels(model)
    names = sorted({name for block in blocks for name in (block.a.entry, block.a.result, block.b.entry)})
    reach = _reach(model, names, poses)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def scale(name: str, factors: Floats) -> None:
        values = numpy_helper.to_array(weights[name]) * factors
        weights[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    for block in blocks:
        a, b = block.a, block.b
        into_b = _factors(reach[b.entry], numpy_helper.to_array(weights[b.weight]))
        scale(b.weight, into_b.reshape(1, -1, 1, 1))
        out_of_a = into_b
        if block.modulation is not None:
            into_a = _factors(reach[a.entry], numpy_helper.to_array(weights[a.weight]))
            scale(a.weight, into_a.reshape(1, -1, 1, 1))
            # The result of `a` is rounded before modulation: give each channel all codes there.
            out_of_a = _centred(reach[a.result])
            gain_in, gain_out, shift = block.modulation
            _multiply(model, gain_in, np.float32(1) / into_a)
            _multiply(model, gain_out, out_of_a / into_b)
            _multiply(model, shift, np.float32(1) / into_b)
        scale(a.weight, _columns(np.float32(1) / out_of_a, 4))
        scale(a.bias, np.float32(1) / out_of_a)


class _Convolution(NamedTuple):
    """Names of its tensors."""

    entry: str
    weight: str
    bias: str
    result: str

    @staticmethod
    def of(node: onnx.NodeProto) -> _Convolution:
        """The tensors of one node."""
        entry, weight, bias = node.input
        return _Convolution(entry, weight, bias, node.output[0])


class _Hidden(NamedTuple):
    """Two convolutions separated only by LeakyReLU and possibly a modulation.

    Attributes:
        a: the first.
        b: the second.
        modulation: results of the nodes whose second inputs scale what goes into `a`, scale what comes out of it, and
            shift that.
    """

    a: _Convolution
    b: _Convolution
    modulation: tuple[str, str, str] | None


def _hidden_channels(model: onnx.ModelProto) -> list[_Hidden]:
    made = {output: node for node in model.graph.node for output in node.output}
    readers = Counter(name for node in model.graph.node for name in node.input)
    found = []

    def before(node: onnx.NodeProto | None, kind: str) -> onnx.NodeProto | None:
        """The producer of the first input, if it is of this kind and has no other reader."""
        name = node.input[0] if node is not None else ""
        maker = made.get(name)
        return maker if maker is not None and maker.op_type == kind and readers[name] == 1 else None

    for node in _convolutions(model):
        bend = before(node, "LeakyRelu")
        b = _Convolution.of(node)
        plain = before(bend, "Conv")
        if plain is not None:
            found.append(_Hidden(_Convolution.of(plain), b, None))
            continue
        shifted = before(bend, "Add")
        scaled = before(shifted, "Mul")
        inner = before(scaled, "Conv")
        gained = before(inner, "Mul")
        if shifted is not None and scaled is not None and inner is not None and gained is not None:
            modulation = (gained.output[0], scaled.output[0], shifted.output[0])
            found.append(_Hidden(_Convolution.of(inner), b, modulation))
    return found


def _factors(reach: Floats, weight: Floats) -> Floats:
    """Divisor of each channel, [C]."""
    columns = np.abs(weight).max((0, 2, 3))
    return _centred(np.maximum(reach, 1e-6) ** SMOOTHING / np.maximum(columns, 1e-6) ** (1 - SMOOTHING))


def _centred(factors: Floats) -> Floats:
    """The same with geometric mean 1, without extremes."""
    factors = np.maximum(factors, 1e-6)
    centred = factors / np.exp(np.log(factors).mean())
    kept: Floats = np.clip(centred, 1 / MOST_SMOOTHING, MOST_SMOOTHING).astype(np.float32)
    return kept


def _multiply(model: onnx.ModelProto, result: str, factors: Floats) -> None:
    """Multiply the second input, [N, C, 1, 1], of the node that produces `result` by a constant."""
    nodes = list(model.graph.node)
    at = next(index for index, node in enumerate(nodes) if node.output[0] == result)
    name = f"{result}_equaliser"
    model.graph.initializer.append(numpy_helper.from_array(factors.reshape(1, -1, 1, 1).astype(np.float32), name))
    product = helper.make_node("Mul", [nodes[at].input[1], name], [f"{name}_product"], name)
    nodes[at].input[1] = f"{name}_product"
    model.graph.node.insert(at, product)
