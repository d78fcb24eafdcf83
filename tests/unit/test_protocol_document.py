"""docs/protocol.md matches the code in keys, codes and bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from engine_bridge.avf import control_wire, messages, wire
from engine_bridge.avf.messages import Provenance
from engine_bridge.errors import ProtocolMismatch
from engine_bridge.frame import Frame
from engine_bridge.sockets.zmq_sockets import open_socket
from tests.conftest import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")


def hex_dump(parts: Iterable[bytes | memoryview]) -> str:
    lines = []
    for number, part in enumerate(parts):
        data = bytes(part)
        lines.append(f"part {number}, {len(data)} bytes")
        for start in range(0, len(data), 16):
            row = data[start : start + 16]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append(f"{start:04x}  {row.hex(' '):<47}  |{text}|")
    return "\n".join(lines) + "\n"


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def keys_of(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def first_cells(text: str) -> set[str]:
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_dumped_frame_is_what_is_sent() -> None:
    pixels = np.array([[[255, 0, 0, 255], [0, 0, 255, 128]]], np.uint8)
    frame = Frame(pixels, 7, 0, "", 1_000_000, 2_000_000, 0, 3, 900_000, "synthetic")
    provenance = Provenance(generator="bunraku")
    parts = wire.encode_frame(
        frame, stream="aki", session=81985529216486895, publish_ns=3_000_000, provenance=provenance
    )
    shown = re.search(r"```hex\n(.*?)```", DOCUMENT, re.DOTALL)
    assert shown
    assert shown[1] == hex_dump(parts)


def test_every_code_is_listed_and_no_other() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "engine_bridge").rglob("*.py")]
    raised = {code for text in sources for code in re.findall(r'MessageRejected\(\s*"([a-z_]+)"', text)}
    raised |= {ProtocolMismatch("").code}
    assert first_cells(section("Reading a frame message")) == raised | {"header"}


def test_every_key_of_the_frame_channel_is_listed() -> None:
    common = first_cells(section("Every kind"))
    assert common == keys_of(wire._Common) | {"k"}
    assert first_cells(section("Frame, `k` = `f`")) == keys_of(wire.FrameHeader) - common
    assert first_cells(section("Heartbeat, `k` = `h`")) == keys_of(wire.HeartbeatHeader) - common
    for kind, text in ((messages.LiveStats, "Heartbeat, `k` = `h`"), (Provenance, "Every kind")):
        assert all(f"`{key}`" in section(text) for key in keys_of(kind))


def test_every_key_of_the_control_channel_is_listed() -> None:
    text = section("Client to producer")
    assert first_cells(text) == {"hello", "set", "req", "stat", "ping"} | keys_of(control_wire._Set)
    named = {name for kind in (control_wire.Hello, control_wire._Stat, control_wire.Ping) for name in keys_of(kind)}
    assert all(f"`{name}`" in text for name in named - {"v"})
    text = section("Producer to client")
    assert first_cells(text) == {"welcome", "refuse", "pong"}
    named = {name for kind in (control_wire.Welcome, control_wire.Refuse, control_wire.Pong) for name in keys_of(kind)}
    assert all(f"`{name}`" in text for name in named)
    info = text[text.index("`info`: ") :]
    kinds = (messages.StreamInfo, messages.ControlSpec, messages.ExpressionSpec)
    named = {name for kind in kinds for name in keys_of(kind)}
    assert named <= set(re.findall(r"[a-z_]+", info))


@pytest.mark.parametrize(("kind", "column"), [(zmq.XPUB, 1), (zmq.ROUTER, 1), (zmq.SUB, 2), (zmq.DEALER, 2)])
def test_sockets_have_the_options_that_are_listed(kind: int, column: int) -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\w ]+) \| ([\w ]+) \|", section("Two channels"), re.MULTILINE)
    listed = {row[0]: row[column] for row in rows if row[0] != "IMMEDIATE"}
    assert len(listed) == 11
    context: Any = zmq.Context()
    with open_socket(context, kind, queue=2, max_bytes=1) as ours, context.socket(kind) as bare:
        for name, value in listed.items():
            option = getattr(zmq, name)
            expected = bare.getsockopt(option) if value == "not set" else int(value)
            assert ours.getsockopt(option) == expected, name
    context.term()


def test_the_native_client_has_the_options_that_are_listed() -> None:
    source = (REPOSITORY / "engine_bridge" / "native" / "src" / "sockets.cpp").read_text(encoding="utf-8")
    constants = dict(re.findall(r"^constexpr int (\w+) = ([\d']+);", source, re.MULTILINE))
    given = {
        name: constants.get(value, value).replace("'", "")
        for name, value in re.findall(r"set\(ZMQ_(\w+), (\w+)\)", source)
    }
    rows = re.findall(r"^\| `([A-Z_]+)` \| [\w ]+ \| ([\w ]+) \|", section("Two channels"), re.MULTILINE)
    listed = {name: value for name, value in rows if value != "not set" and name != "HEARTBEAT_IVL"}
    assert {name: value for name, value in given.items() if name in listed} == listed
    assert not any("HEARTBEAT" in name for name in given)


def test_every_state_is_listed() -> None:
    states = set(re.findall(r"^\| `([A-Z]+)` \|", section("Liveness"), re.MULTILINE))
    assert states == {state.name for state in messages.LinkState}
