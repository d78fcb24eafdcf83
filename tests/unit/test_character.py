"""The character file: what opens, what is refused, and that writing is atomic."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from engine_bridge.errors import BunrakuError, CharacterError, SinkError
from runtime.character.archive import MEMBER_LIMITS
from runtime.character.file import Character
from runtime.character.manifest import Manifest
from runtime.character.shipped import find_character
from runtime.character.writing import write_character
from tests.tiny_character import W_DIM, generator, manifest, mapping, members, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.bunraku")


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip with these members, with correct hashes in the manifest."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def with_right_hashes(files: dict[str, bytes]) -> dict[str, bytes]:
    import hashlib

    text = msgspec.json.decode(files["character.json"])
    text["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in files.items()
        if name != "character.json"
    }
    return {**files, "character.json": msgspec.json.encode(text)}


def changed_manifest(files: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    text = {**msgspec.json.decode(files["character.json"]), **changes}
    return {**files, "character.json": msgspec.json.encode(text)}


def test_a_written_character_reads_back_as_it_was(tiny: Path) -> None:
    with Character.open(tiny) as character:
        assert msgspec.structs.replace(character.manifest, files={}) == manifest()
        assert {name: character.read(name) for name in character.members if name != "character.json"} == members()
        assert character.w_dim == W_DIM
        role = character.role()
    assert role.latents.names == ("one", "two")
    assert role.latents.has_mapping
    assert role.idle.blink_interval_s == 3.0
    assert [expression.name for expression in role.expressions] == ["glad"]
    assert (role.width, role.height, len(role.controls)) == (32, 32, 38)


def test_writing_what_was_read_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    with Character.open(tiny) as character:
        files = {name: character.read(name) for name in character.members if name != "character.json"}
        write_character(tmp_path / "again.bunraku", character.manifest, files)
    assert (tmp_path / "again.bunraku").read_bytes() == tiny.read_bytes()


def test_optional_members_may_be_missing(tmp_path: Path) -> None:
    files = {name: data for name, data in members().items() if name in ("generator.onnx", "latents.safetensors")}
    write_character(tmp_path / "bare.bunraku", manifest(), files)
    with Character.open(tmp_path / "bare.bunraku") as character:
        assert [expression.name for expression in character.role().expressions][:2] == ["happy", "angry"]
        assert character.report() == {}


Damage = Callable[[dict[str, bytes]], dict[str, bytes]]


def renamed(name: str) -> Damage:
    return lambda files: with_right_hashes({**files, name: b"x"})


def without(name: str) -> Damage:
    return lambda files: {member: data for member, data in files.items() if member != name}


def replaced(name: str, data: bytes) -> Damage:
    return lambda files: with_right_hashes({**files, name: data})


def manifested(**changes: object) -> Damage:
    return lambda files: changed_manifest(files, **changes)


NAN = save({"identities": np.full((2, W_DIM), np.nan, np.float32)})
NARROW = save({"identities": np.zeros((2, 3), np.float32)})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (renamed("../escape"), "could escape"),
        (renamed("/etc/passwd"), "could escape"),
        (renamed("C:evil"), "could escape"),
        (renamed("script.py"), "no character has"),
        (without("generator.onnx"), "has no generator.onnx"),
        (without("latents.safetensors"), "has no latents.safetensors"),
        (without("character.json"), "has no character.json"),
        (without("report.json"), "listed but missing: report.json"),
        (lambda files: {**files, "preview.webp": b"x"}, "not listed: preview.webp"),
        (lambda files: {**files, "report.json": files["report.json"] + b" "}, "SHA-256 differs"),
        (lambda files: {**files, "character.json": b"\xff\xfe{"}, "character.json"),
        (lambda files: {**files, "character.json": b'{"format": 1}'}, "missing required field"),
        (manifested(format=3), "Update Bunraku"),
        (manifested(format=0), "never existed"),
        (manifested(ai_generated=False), "AI-generated"),
        (manifested(surprise=1), "unknown field"),
        (manifested(frame={"width": 0, "height": 32}), "outside 1"),
        (manifested(frame={"width": 64, "height": 32}), "must take"),
        (manifested(identities={}), "no identity"),
        (manifested(identities={"one": 7}), "no row 7"),
        (manifested(controls=[]), "no control"),
        (manifested(controls=[{"name": "jawOpne", "minimum": 0, "maximum": 1, "rest": 0}]), "jawOpen"),
        (manifested(controls=[{"name": "jawOpen", "minimum": 1, "maximum": 0, "rest": 0}]), "range"),
        (replaced("generator.onnx", b"not a graph"), "refused"),
        (replaced("generator.onnx", mapping().SerializeToString()), "must take"),
        (replaced("generator.onnx", generator(controls=3).SerializeToString()), "must take"),
        (replaced("generator.onnx", generator(side=64).SerializeToString()), "must take"),
        (replaced("mapping.onnx", generator().SerializeToString()), "must take z"),
        (replaced("latents.safetensors", b"\x08\0\0\0\0\0\0\0{}      "), "lacks identities"),
        (replaced("latents.safetensors", b"\xff" * 64), "header of more than"),
        (replaced("latents.safetensors", b"\x40" + bytes(63)), "cannot be read"),
        (replaced("latents.safetensors", NAN), "finite"),
        (replaced("latents.safetensors", NARROW), "w_dim 3"),
    ],
)
def test_a_broken_or_hostile_file_is_refused_in_clear_words(
    tiny: Path, tmp_path: Path, damage: Damage, words: str
) -> None:
    path = rewritten(tmp_path / "bad.bunraku", damage(contents(tiny)))
    with pytest.raises(CharacterError, match=words):
        Character.open(path)


@pytest.mark.parametrize(
    ("member", "text", "words"),
    [
        ("expressions.json", b'{"expressions": [{"name": "x", "controls": {"nope": 1}}]}', "nope"),
        ("expressions.json", b'{"expressions": [{"name": "x", "controls": {}, "fade_s": -1}]}', "fade_s"),
        ("expressions.json", b"[", "expressions.json"),
        ("idle.json", b'{"breath_period_s": 0}', "breath_period_s"),
        ("idle.json", b'{"blinking": true}', "unknown field"),
    ],
)
def test_a_wrong_settings_member_is_refused_when_the_role_is_made(
    tiny: Path, tmp_path: Path, member: str, text: bytes, words: str
) -> None:
    path = rewritten(tmp_path / "bad.bunraku", replaced(member, text)(contents(tiny)))
    with Character.open(path) as character, pytest.raises(CharacterError, match=words):
        character.role()


def test_compressed_members_are_refused_before_they_are_read(tiny: Path, tmp_path: Path) -> None:
    path = rewritten(tmp_path / "bomb.bunraku", contents(tiny), zipfile.ZIP_DEFLATED)
    with pytest.raises(CharacterError, match="compressed"):
        Character.open(path)


def test_the_same_member_twice_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.bunraku"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in contents(tiny).items():
            archive.writestr(name, data)
        archive.writestr("report.json", b"{}")
    with pytest.raises(CharacterError, match=r"report\.json twice"):
        Character.open(path)


def test_a_directory_with_very_many_entries_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "many.bunraku"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(5000):
            archive.writestr(f"{index}", b"")
    with pytest.raises(CharacterError, match="5000 members"):
        Character.open(path)


def test_zip64_is_refused(tiny: Path, tmp_path: Path) -> None:
    data = tiny.read_bytes()
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 1)
    path = tmp_path / "zip64.bunraku"
    path.write_bytes(data[:-22] + locator + data[-22:])
    with pytest.raises(CharacterError, match="zip64"):
        Character.open(path)


def test_bytes_before_or_behind_are_refused(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "polyglot.bunraku"
    for data in (b"#!/bin/sh\n" + tiny.read_bytes(), tiny.read_bytes() + b"more"):
        path.write_bytes(data)
        with pytest.raises(CharacterError):
            Character.open(path)


def test_an_oversized_member_or_file_is_refused(tiny: Path, tmp_path: Path) -> None:
    files = contents(tiny)
    path = rewritten(
        tmp_path / "large.bunraku", with_right_hashes({**files, "idle.json": b" " * (MEMBER_LIMITS["idle.json"] + 1)})
    )
    with pytest.raises(CharacterError, match=r"idle\.json.*MiB"):
        Character.open(path)
    with (tmp_path / "huge.bunraku").open("wb") as file:
        file.truncate(257 << 20)
    with pytest.raises(CharacterError, match="256 MiB"):
        Character.open(tmp_path / "huge.bunraku")


def test_files_that_are_not_characters_are_distinguished(tmp_path: Path) -> None:
    (tmp_path / "text.bunraku").write_text("hello")
    for path, words in (
        (tmp_path / "none.bunraku", "no character file"),
        (tmp_path / "text.bunraku", "not a character file"),
        (tmp_path, "Could not open"),
    ):
        with pytest.raises(CharacterError, match=words):
            Character.open(path)
    with pytest.raises(CharacterError, match="--engine synthetic"):
        find_character("nobody")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_only_our_errors(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(tiny.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _ in range(data.draw(st.integers(0, 4))):
        if raw:
            place = data.draw(st.integers(0, len(raw) - 1))
            # The directory at the end is where most can go wrong.
            place = len(raw) - 1 - place % 1200 if data.draw(st.booleans()) and len(raw) > 1200 else place
            raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.bunraku"
    path.write_bytes(bytes(raw))
    try:
        with Character.open(path) as character:
            character.role()
    except BunrakuError:
        pass


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=600))
def test_any_manifest_gives_only_our_errors(raw: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        msgspec.json.decode(raw, type=Manifest)


def test_writing_checks_before_the_file_appears(tmp_path: Path) -> None:
    path = tmp_path / "new.bunraku"
    with pytest.raises(CharacterError, match="no member"):
        write_character(path, manifest(), {**members(), "extra.bin": b""})
    with pytest.raises(CharacterError, match="no row 9"):
        write_character(path, manifest(identities={"one": 9}), members())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_what_was_there(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "kept.bunraku"
    path.write_bytes(tiny.read_bytes())
    with pytest.raises(CharacterError):
        write_character(path, manifest(frame=manifest(side=64).frame), members())
    assert path.read_bytes() == tiny.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["kept.bunraku"]
    with pytest.raises(SinkError, match="does not exist"):
        write_character(tmp_path / "nowhere" / "x.bunraku", manifest(), members())


def test_members_are_read_where_they_lie(tiny: Path, tmp_path: Path) -> None:
    before = set(tmp_path.parent.rglob("*"))
    with Character.open(tiny) as character:
        assert io.BytesIO(character.read("preview.webp") if "preview.webp" in character else b"").read() == b""
        with pytest.raises(CharacterError, match=r"no preview\.webp"):
            character.read("preview.webp")
    assert set(tmp_path.parent.rglob("*")) == before
