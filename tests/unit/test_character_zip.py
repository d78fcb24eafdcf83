"""The zip of a character: members one after the other and nothing else, and no member larger than declared."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from engine_bridge.errors import CharacterError
from runtime.character.file import Character
from runtime.character.writing import write_character
from tests.tiny_character import W_DIM, Z_DIM, generator, manifest, mapping, members, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.bunraku", seeds=False)


def directory(data: bytes) -> tuple[int, int]:
    """Offset and length of the zip directory."""
    size, start = struct.unpack("<2L", data[-10:-2])
    return start, size


def refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.bunraku"
    path.write_bytes(data)
    with pytest.raises(CharacterError, match=words):
        Character.open(path)


def first_entry(data: bytes, offset: int, form: str, value: int) -> bytes:
    """The directory with a number of its first entry changed."""
    place = directory(data)[0] + offset
    return data[:place] + struct.pack(form, value) + data[place + struct.calcsize(form) :]


def second_entry_at(data: bytes, place: int) -> bytes:
    """The second member's offset changed."""
    start, _ = directory(data)
    second = data.index(b"PK\x01\x02", start + 4)
    return data[: second + 42] + struct.pack("<L", place) + data[second + 46 :]


def with_gap(data: bytes) -> bytes:
    """Bytes between the members and their directory."""
    start, size = directory(data)
    hidden = b"hidden"
    end = data[-22:-6] + struct.pack("<L", start + len(hidden)) + data[-2:]
    return data[:start] + hidden + data[start : start + size] + end


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: second_entry_at(data, 0), "overlap"),
        (lambda data: second_entry_at(data, 31), "overlap"),
        (with_gap, "between its members and its directory"),
        (lambda data: data[:6] + b"\x08" + data[7:], "disagrees with its directory entry"),
        (lambda data: data[:8] + b"\x08" + data[9:], "disagrees with its directory entry"),
        (lambda data: data[:14] + b"\0\0\0\0" + data[18:], "disagrees with its directory entry"),
        (lambda data: data[:18] + b"\1\0\0\0" + data[22:], "disagrees with its directory entry"),
        (lambda data: data[:30] + b"Character.json" + data[44:], "damaged|disagrees"),
        (lambda data: first_entry(data, 8, "<H", 0x8), "features of zip"),
        (lambda data: first_entry(data, 8, "<H", 0x20), "damaged|features of zip"),
        (lambda data: first_entry(data, 8, "<H", 0x1), "encrypted"),
        (lambda data: first_entry(data, 10, "<H", 12), "compressed"),
        (lambda data: data.replace(b"idle.json", b"IDLE.json"), "no character has"),
        (lambda data: data.replace(b"idle.json", b"idle\0json"), "no character has"),
        (lambda data: data.replace(b"idle.json", b"id\x1b[.json"), r"id�\[\.json"),
        (lambda data: data.replace(b"idle.json", b"report.js"), "no character has"),
    ],
)
def test_a_zip_that_could_be_read_in_two_ways_is_refused(
    tiny: Path, tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    data = tiny.read_bytes()
    assert damage(data) != data
    refused(tmp_path, damage(data), words)


def test_a_zip_from_another_program_is_read(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.bunraku"
    with zipfile.ZipFile(tiny) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for name in reversed(archive.namelist()):
            packed.writestr(name, archive.read(name))  # with today's date, and in another order
    with Character.open(path) as character:
        assert character.manifest.name == "Tiny"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.bunraku"
    os.mkfifo(pipe)
    said: list[str] = []

    def open_it() -> None:
        try:
            Character.open(pipe)
        except CharacterError as error:
            said.append(str(error))

    thread = threading.Thread(target=open_it, daemon=True)
    thread.start()
    thread.join(10)
    assert len(said) == 1
    assert "is not a file" in said[0]


def test_a_file_that_changes_after_it_was_opened_changes_nothing(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.bunraku", seeds=False)
    with Character.open(path) as character:
        before = character.read("generator.onnx")
        path.write_bytes(b"something else")
        assert character.read("generator.onnx") == before
        assert character.role().name == "Tiny"


def packed(tmp_path: Path, files: dict[str, bytes], **changes: Any) -> Path:
    """A character whose manifest has correct hashes and these changes, unchecked by a writer."""
    import hashlib

    told = {**msgspec.to_builtins(manifest()), **changes}
    told["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()
    }
    path = tmp_path / "made.bunraku"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("character.json", json.dumps(told))
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


ONE = {"name": "jawOpen", "rest": 0.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identities": {f"p{number}": 0 for number in range(513)}}, "513 names"),
        ({"identities": {f"{number:0>80}": 0 for number in range(300)}}, "24000 bytes together"),
        ({"identities": {"": 0}}, "1 to 80 characters"),
        ({"identities": {"x" * 81: 0}}, "1 to 80 characters"),
        ({"identities": {"a\x1b[2J": 0}}, "all of them visible"),
        ({"identities": {"a\u202eb": 0}}, "all of them visible"),
        ({"identities": {" a": 0}}, "without spaces"),
        ({"identities": {"a": 10**30}}, "no row|damaged|wrong"),
        ({"identities": {"a": -1}}, "no row"),
        ({"provenance": {"deep": nested(40)}}, "nested deeper"),
        ({"provenance": {"deep": nested(900)}}, "nested deeper|wrong"),
        ({"controls": [{**ONE, "minimum": -1e300, "maximum": 1.0}]}, "range"),
        ({"controls": [{**ONE, "minimum": 0.0, "maximum": 10001}]}, "range"),
        ({"frame": {"width": 10**30, "height": 32}}, "outside|wrong"),
        ({"name": 7}, "wrong"),
        ({"\x1b[2J" * 9000: 7}, "unknown field"),
        ({"controls": [{**ONE, "name": "\x1b[2J" * 9000, "minimum": 0.0, "maximum": 1.0}]}, "character.json"),
    ],
)
def test_a_manifest_without_measure_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = packed(tmp_path, members(seeds=False), **changes)
    with pytest.raises(CharacterError, match=words) as told:
        Character.open(path)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 1000


def test_brackets_without_end_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, {**members(seeds=False), "report.json": b'{"a":' + b"[" * 500_000})
    with Character.open(path) as character, pytest.raises(CharacterError, match=r"report\.json.*is wrong"):
        character.report()


def table(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ROW = {"dtype": "F32", "shape": [2, W_DIM], "data_offsets": [0, 8 * W_DIM]}
ZEROS = bytes(8 * W_DIM)
PEOPLE = np.zeros((2, W_DIM), np.float32)


@pytest.mark.parametrize(
    ("latents", "words"),
    [
        (struct.pack("<Q", 1 << 62) + b"{}", "header of more than 1 MiB"),
        (table(b"{" + b" " * (1 << 20) + b"}"), "header of more than 1 MiB"),
        (table({"identities": ROW, "direction.x": {**ROW, "shape": [W_DIM]}}, ZEROS), "cannot be read"),
        (table({"identities": {**ROW, "shape": [1 << 40, W_DIM]}}, ZEROS), "cannot be read"),
        (table({"identities": {**ROW, "dtype": "BF16", "data_offsets": [0, 4 * W_DIM]}}, ZEROS[::2]), "read|finite"),
        (table({"identities": {**ROW, "dtype": "F8_E4M3", "data_offsets": [0, 2 * W_DIM]}}, ZEROS[::4]), "read|finite"),
        (table({"identities": {**ROW, "dtype": "I32"}}, ZEROS), "finite"),
        (table({"identities": {**ROW, "shape": [2, 0], "data_offsets": [0, 0]}}), "w_dim 0"),
        (table({"identities": {**ROW, "shape": [], "data_offsets": [0, 4]}}, ZEROS[:4]), "finite|w_dim"),
        (table({"identities": ROW}, ZEROS + b"more"), "cannot be read"),
        (save({"identities": np.full((2, W_DIM), np.inf, np.float32)}), "finite"),
        (
            save({"identities": np.zeros((2, W_DIM), np.float32), "direction.\x1b": np.zeros(W_DIM, np.float32)}),
            "visible",
        ),
        (
            save({"identities": np.zeros((2, W_DIM), np.float32), "x\u202e": np.zeros(W_DIM, np.float32)}),
            "unknown tensor",
        ),
        (table(b"[" * 100_000), "cannot be read"),
    ],
)
def test_a_table_without_valid_people_is_refused(tmp_path: Path, latents: bytes, words: str) -> None:
    path = packed(tmp_path, {**members(seeds=False), "latents.safetensors": latents})
    with pytest.raises(CharacterError, match=words) as told:
        Character.open(path)
    assert len(str(told.value)) < 600


def mood(**changes: Any) -> str:
    return json.dumps({"expressions": [{"name": "glad", "controls": {"happy": 1.0}, **changes}]})


@pytest.mark.parametrize(
    ("member", "text", "words"),
    [
        ("expressions.json", mood(controls={"happy": float("nan")}), "wrong"),
        ("expressions.json", mood().replace("1.0", "1e999"), "wrong|most|not a number"),
        ("expressions.json", mood(controls={"happy": 1e300}), "the limit is"),
        ("expressions.json", mood(controls={"happy": "1"}), "wrong"),
        ("expressions.json", mood(fade_s=1e9), "fade_s"),
        ("expressions.json", mood(name=""), "1 to 80 characters"),
        ("expressions.json", mood(name="a\x1b[2J"), "visible"),
        ("expressions.json", mood(hotkey="\u202ex"), "visible"),
        ("expressions.json", mood(hotkey="x" * 1000), "1 to 80 characters"),
        ("expressions.json", json.dumps({"expressions": [{"name": f"e{n}", "controls": {}} for n in range(65)]}), "65"),
        ("idle.json", '{"breath_amount": NaN}', "wrong"),
        ("idle.json", '{"breath_amount": 1e999}', "wrong|breath_amount"),
        ("idle.json", '{"breath_amount": 1e300}', "breath_amount"),
        ("idle.json", '{"breath_amount": -1}', "breath_amount"),
        ("idle.json", '{"breath_amount": "1"}', "wrong"),
        ("idle.json", "[" * 100_000, "wrong"),
        ("report.json", "[]", "wrong"),
        ("report.json", json.dumps({"a": nested(40)}), "nested deeper"),
    ],
)
def test_settings_without_measure_are_refused(tmp_path: Path, member: str, text: str, words: str) -> None:
    path = packed(tmp_path, {**members(seeds=False), member: text.encode()})
    with Character.open(path) as character, pytest.raises(CharacterError, match=words):
        everything(character)


def everything(character: Character) -> None:
    """Read everything that opening does not."""
    character.role()
    character.report()


def test_a_mapping_with_undeclared_output_is_our_error(tmp_path: Path) -> None:
    model = mapping()
    weights = numpy_helper.from_array(np.zeros((Z_DIM, 3), np.float32), "weights")
    model.graph.initializer[0].CopyFrom(weights)
    path = packed(tmp_path, {**members(seeds=False), "mapping.onnx": model.SerializeToString()})
    with Character.open(path) as character:
        latents = character.role().latents
    with pytest.raises(CharacterError, match=r"must give finite float32 \[1, 8\]|cannot be run"):
        latents.identity(7)


def test_engines_get_what_was_understood_and_not_the_bytes_of_the_file(tmp_path: Path) -> None:
    model = generator()
    model.doc_string = "a note beside the graph"
    model.graph.node[0].doc_string = "another note"
    model.graph.value_info.append(model.graph.output[0])
    model.metadata_props.add(key="key", value="a third note")
    size = next(tensor for tensor in model.graph.initializer if tensor.name == "seed_shape")
    size.CopyFrom(helper.make_tensor("seed_shape", TensorProto.INT64, [4], [0, 4, 8, 8]))
    given = model.SerializeToString()
    path = packed(tmp_path, {**members(seeds=False), "generator.onnx": given})
    with Character.open(path) as character:
        handed_on = character.read("generator.onnx")
        assert character.manifest.files["generator.onnx"].size == len(given)
    assert handed_on == generator().SerializeToString()
    assert b"note" not in handed_on


def test_long_texts_of_the_manifest_are_cut_in_the_role(tmp_path: Path) -> None:
    path = tmp_path / "long.bunraku"
    write_character(path, manifest(name="N\n" * 5000, licence="L\u202e" * 50_000), members(seeds=False))
    with Character.open(path) as character:
        role = character.role()
    assert len(role.name) <= 80
    assert len(role.licence) <= 300
    assert role.name.isprintable()
    assert role.licence.isprintable()
    assert sys.getsizeof(role.licence) < 5000
