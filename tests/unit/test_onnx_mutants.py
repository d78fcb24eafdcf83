"""Any mutant of a graph is refused, or all parsers read it alike."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine_bridge.errors import CharacterError
from runtime.character.file import Character
from runtime.character.onnx_graph import read_graph
from runtime.character.shipped import find_character
from tests.onnx_mutants import count, disagreements, parts_of, seeds
from tests.tiny_character import generator

GOOD = generator(side=4, controls=2, w_dim=2).SerializeToString()


def test_every_accepted_mutant_is_read_alike_by_onnx_and_brings_nothing_forbidden() -> None:
    counts, wrong = count(3000, seed=1)
    assert wrong == []
    assert counts["accepted"] > 100
    assert counts["refused"] > 1000


@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.environ.get("BUNRAKU_TEST_LONG") != "1", reason="takes minutes; set BUNRAKU_TEST_LONG=1")
def test_every_accepted_one_of_a_hundred_thousand_mutants_is_read_alike() -> None:
    counts, wrong = count(100_000, seed=2)
    assert wrong == []
    assert counts["accepted"] > 5000


@pytest.mark.parametrize("seed", range(len(seeds())))
def test_real_graphs_are_accepted_and_handed_on_as_they_are(seed: int) -> None:
    data = seeds()[seed]
    assert disagreements(data, read_graph(data)) == []


def test_what_is_handed_on_is_read_as_itself() -> None:
    for data in seeds():
        once = read_graph(data).to_bytes()
        assert read_graph(once).to_bytes() == once


@pytest.mark.parametrize("shipped", ["aki", "crowd"])
def test_shipped_characters_play_the_graphs_in_their_files(shipped: str) -> None:
    with Character.open(find_character(shipped)) as character:
        for name in character.members:
            if name.endswith(".onnx"):
                theirs = onnx.load_from_string(character.read(name))
                assert len(theirs.graph.node) == sum(character.graph(name).operators.values())
                assert not any(node.doc_string for node in theirs.graph.node)


def damaged(field: int, bits: int = 0, tag_longer: int = 0, longer: int = 0) -> bytes:
    """The good graph with one field of its model encoded differently."""
    parts = parts_of(GOOD)
    part = next(part for part in parts if part.number == field)
    part.tag_bits, part.tag_longer, part.longer = bits, tag_longer, longer
    return b"".join(part.encode() for part in parts)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (damaged(7, bits=1 << 32), "more than 32 bits"),
        (damaged(7, bits=1 << 63), "more than 32 bits"),
        (damaged(7, tag_longer=1), "more bytes than it needs"),
        (damaged(7, longer=2), "more bytes than it needs"),
        (damaged(1, longer=10), "ten bytes"),
        (damaged(1, longer=8), "more bytes than it needs"),
        (GOOD + GOOD, "twice"),
        (GOOD + b"\x08\x09", "ir_version twice"),
        (GOOD + b"\xa2\x06\x00", "field 100"),
        (GOOD + b"\x0b\x0c", "wire type 3"),
        (GOOD + b"\x42\x00", "once"),
        (GOOD + b"\x42\x02\x10\xff", "cut short"),
        (GOOD + b"\x28", "cut short"),
        (GOOD + b"\x28" + b"\xff" * 9 + b"\x7f", "more bytes than it needs"),
        (GOOD.replace(b"MatMul", b"Mat\x1b[m"), "cannot be printed"),
        (GOOD.replace(b"spread", "sp\u202ex".encode()), "cannot be printed"),
        (GOOD.replace(b"spread", b"\xff" * 6), "not UTF-8"),
    ],
)
def test_what_parsers_could_read_in_two_ways_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CharacterError, match=words):
        read_graph(data)


def one_node(operator: str, *attributes: onnx.AttributeProto, tensor: onnx.TensorProto | None = None) -> bytes:
    node = helper.make_node(operator, ["x"], ["y"])
    node.attribute.extend(attributes)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], [tensor] if tensor else [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def tensor(**fields: object) -> onnx.TensorProto:
    return onnx.TensorProto(**{"name": "t", "data_type": TensorProto.FLOAT, "dims": [1], **fields})


VALUE = numpy_helper.from_array(np.zeros(1, np.float32))
WRONG_TYPE = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, i=1)
TWO_VALUES = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, f=1, i=1)
UNTYPED = onnx.AttributeProto(name="alpha", f=1)
REFERENCE = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, f=1, ref_attr_name="x")
ALPHA = helper.make_attribute("alpha", 0.1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (one_node("Relu", helper.make_attribute("value", VALUE)), "does not belong there"),
        (one_node("LeakyRelu", WRONG_TYPE), "something else"),
        (one_node("LeakyRelu", TWO_VALUES), "something else"),
        (one_node("LeakyRelu", UNTYPED), "the type None"),
        (one_node("LeakyRelu", REFERENCE), "functions"),
        (one_node("LeakyRelu", ALPHA, ALPHA), "twice"),
        (one_node("Relu", helper.make_attribute("s", ["a", "b"])), "field 9"),
        (one_node("Relu", tensor=tensor(raw_data=b"\0" * 3)), "3 bytes"),
        (one_node("Relu", tensor=tensor(raw_data=b"\0" * 4, float_data=[1])), "given twice"),
        (one_node("Relu", tensor=tensor(int64_data=[1])), "as int64_data"),
        (one_node("Relu", tensor=tensor(data_type=TensorProto.UINT8, int32_data=[256])), "outside 0..255"),
        (one_node("Relu", tensor=tensor(data_type=TensorProto.BOOL, raw_data=b"\x02")), "boolean"),
        (one_node("Relu", tensor=tensor(data_type=TensorProto.STRING, string_data=[b"x"])), "strings"),
        (one_node("Relu", tensor=tensor(dims=[1 << 40])), "no character needs"),
        (one_node("Relu", tensor=tensor(dims=[-1])), "no character needs"),
        (one_node("Relu", tensor=tensor(dims=[1 << 62, 4], raw_data=b"")), "no character needs"),
        (one_node("Relu", tensor=tensor(name="y", raw_data=b"\0" * 4)), "twice"),
    ],
)
def test_a_part_that_contradicts_itself_or_does_not_belong_there_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CharacterError, match=words):
        read_graph(data)


def test_numbers_in_lists_are_handed_on_as_bytes() -> None:
    given = tensor(data_type=TensorProto.INT32, dims=[3], int32_data=[-1, 0, 2**31 - 1])
    handed_on = onnx.load_from_string(read_graph(one_node("Relu", tensor=given)).to_bytes()).graph.initializer[0]
    assert numpy_helper.to_array(handed_on).tolist() == [-1, 0, 2**31 - 1]
    assert handed_on.raw_data
    assert not handed_on.int32_data


def test_the_installed_onnx_runtime_opens_no_file_outside_the_folder_by_itself(tmp_path: Path) -> None:
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 25):
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} is the newest for this Python, and does not check paths")
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 4)
    outside = tensor()
    outside.data_location = TensorProto.EXTERNAL
    entries = {"location": os.path.relpath(secret), "offset": "0", "length": "4"}
    outside.external_data.extend(onnx.StringStringEntryProto(key=key, value=value) for key, value in entries.items())
    model = onnx.load_from_string(one_node("Relu", tensor=outside))
    model.graph.node[0].input[0] = "t"
    with pytest.raises(Exception, match=r"(?i)external data path"):  # its errors share no base class
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
