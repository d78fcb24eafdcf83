"""Reading untrusted ONNX."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from engine_bridge.errors import CharacterError
from runtime.character.onnx_graph import summarise
from tests.tiny_character import generator

GOOD = generator().SerializeToString()


def test_a_good_graph_is_described() -> None:
    summary = summarise(GOOD)
    assert summary.opset == 20
    assert summary.operators["Conv"] == 1
    assert [(info.name, info.element_type, info.shape) for info in summary.inputs] == [
        ("w", 1, (None, 8)),
        ("controls", 1, (None, 38)),
    ]
    assert summary.outputs[0].shape == (None, 32, 32, 4)
    assert summary.parameters == sum(int(np.prod(tensor.dims)) for tensor in generator().graph.initializer)


def one_node(operator: str, *, domain: str = "", **attributes: object) -> bytes:
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 20)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets).SerializeToString()


def external() -> bytes:
    model = generator()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return model.SerializeToString()


def external_in_a_constant() -> bytes:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    return one_node("Constant", value=tensor)


def with_function() -> bytes:
    model = generator()
    model.functions.add().name = "f"
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (one_node("Loop"), '"Loop" is not allowed'),
        (one_node("RandomNormal"), '"RandomNormal" is not allowed'),
        (one_node("Relu", domain="com.evil"), "foreign domain"),
        (one_node("Relu", body=helper.make_graph([], "inner", [], [])), "subgraphs"),
        (external(), "external data"),
        (external_in_a_constant(), "external data"),
        (with_function(), "functions"),
        (generator(opset=20).SerializeToString().replace(b"\x10\x14", b"\x10\x63"), "opset 99"),
        (b"", "not an ONNX model"),
        (GOOD[:-20], "cut short"),
        (b"\x00" * 8, "number 0"),
        (b"\x3a" + b"\xff" * 10 + b"\x01", "ten bytes"),
    ],
)
def test_a_graph_that_a_character_must_not_have_is_refused(model: bytes, words: str) -> None:
    with pytest.raises(CharacterError, match=words):
        summarise(model)


def test_very_many_fields_end_early() -> None:
    with pytest.raises(CharacterError, match="200000 fields"):
        summarise(b"\x42\x00" * 500_000)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_only_our_error(raw: bytes) -> None:
    with contextlib.suppress(CharacterError):
        summarise(raw)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1500), st.integers(0, 255), st.integers(0, 2_000))
def test_a_changed_byte_gives_only_our_error(place: int, value: int, cut: int) -> None:
    head = bytearray(GOOD[:400] + GOOD[-1500:])
    head[place % len(head)] = value
    for raw in (bytes(head), GOOD[:cut], GOOD[: len(GOOD) - cut]):
        with contextlib.suppress(CharacterError):
            summarise(raw)


def test_what_is_accepted_is_what_onnx_reads() -> None:
    model = onnx.load_from_string(GOOD)
    assert {node.op_type for node in model.graph.node} == set(summarise(GOOD).operators)
