"""The frame channel's bytes: messages round-trip, and nothing hostile is accepted."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine_bridge.avf.messages import LiveStats, Provenance
from engine_bridge.avf.wire import (
    Bye,
    FrameMessage,
    Heartbeat,
    decode,
    encode_bye,
    encode_frame,
    encode_heartbeat,
    new_session,
    split_topic,
    topic_of,
)
from engine_bridge.clock import age_ns
from engine_bridge.errors import MessageRejected, WireError
from engine_bridge.frame import Frame, Pixels

TOPIC = b"avf1/aki"
BOMBS = [bytes.fromhex("dd0fffffff"), bytes.fromhex("df0fffffff"), b"\x91" * 5000 + b"\xc0", b"\x81\xa1a" * 5000]


def picture(width: int = 5, height: int = 3) -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (height, width, 4), dtype=np.uint8)


def frame(pixels: Pixels | None = None, frame_id: int = 12) -> Frame:
    return Frame(
        pixels=picture() if pixels is None else pixels,
        frame_id=frame_id,
        session=0,
        stream="",
        capture_ns=100,
        render_start_ns=200,
        publish_ns=0,
        control_id=9,
        control_timestamp_ns=-4,
        provider="synthetic",
    )


def header(**changes: Any) -> dict[str, Any]:
    """A valid header of a 5x3 frame, changed; a value of ... removes the key."""
    good = {"k": "f", "v": 0, "ses": 1, "id": 2, "w": 5, "h": 3, "f": "rgba8"}
    good["pl"] = [{"e": "raw", "r": "rgba", "n": 60, "z": 60}]
    return {key: value for key, value in {**good, **changes}.items() if value is not ...}


def plane(**changes: Any) -> list[dict[str, Any]]:
    return [{"e": "raw", "r": "rgba", "n": 60, "z": 60, **changes}]


def message(pixels: bytes = bytes(60), /, **changes: Any) -> list[bytes]:
    return [TOPIC, msgpack.packb(header(**changes)), pixels]


def code_of(parts: list[bytes]) -> str:
    with pytest.raises(MessageRejected) as caught:
        decode(parts)
    assert str(caught.value)
    return caught.value.code


def test_frame_comes_back_as_it_was_sent() -> None:
    sent = frame()
    provenance = Provenance(model="sha256:ab", generator="bunraku 0.1.0", source="CC0")
    parts = encode_frame(sent, stream="aki", session=2**64 - 1, publish_ns=300, provenance=provenance)
    came = decode(parts)
    assert isinstance(came, FrameMessage)
    assert np.array_equal(came.frame.pixels, sent.pixels)
    assert came.frame.pixels.shape == (3, 5, 4)
    assert not came.frame.pixels.flags.writeable
    assert (came.frame.frame_id, came.frame.session, came.frame.stream) == (12, 2**64 - 1, "aki")
    assert (came.frame.capture_ns, came.frame.render_start_ns, came.frame.publish_ns) == (100, 200, 300)
    assert (came.frame.control_id, came.frame.control_timestamp_ns) == (9, -4)
    assert came.frame.provider == "synthetic"
    assert came.provenance == provenance


def test_frame_with_strides_is_sent_densely() -> None:
    wide = picture(10, 6)
    came = decode(encode_frame(frame(wide[::2, ::-2]), stream="aki", session=1, publish_ns=1))
    assert isinstance(came, FrameMessage)
    assert np.array_equal(came.frame.pixels, wide[::2, ::-2])


def test_heartbeat_and_bye_come_back_as_they_were_sent() -> None:
    heartbeat = Heartbeat(
        stream="aki",
        session=3,
        frame_id=4,
        sent=5,
        stats=LiveStats(provider="synthetic", fps=59.9, motion_to_photon_ms=None, subscribers=2),
        control_endpoint="tcp://127.0.0.1:5761",
        provenance=Provenance(),
        unix_offset_ns=-6,
    )
    assert decode(encode_heartbeat(heartbeat)) == heartbeat
    assert decode(encode_heartbeat(Heartbeat("aki", 3, 0))) == Heartbeat("aki", 3, 0)
    assert decode(encode_bye(Bye("aki", 3, 4))) == Bye("aki", 3, 4)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((2, 2, 4), np.float32),
        np.zeros((2, 4), np.uint8),
        np.zeros((0, 2, 4), np.uint8),
        np.zeros((1, 8193, 4), np.uint8),
    ],
)
def test_pixels_of_another_kind_are_not_sent(pixels: Pixels) -> None:
    with pytest.raises(WireError, match="frame 12"):
        encode_frame(frame(pixels), stream="aki", session=1, publish_ns=1)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", "x" * 60, "a\n"])
def test_stream_names_that_do_not_fit_a_topic(name: str) -> None:
    with pytest.raises(WireError, match="cannot name a stream"):
        topic_of(name)


def test_longest_stream_name_fits_the_topic() -> None:
    assert split_topic(topic_of("x" * 59)) == (1, "raw", "x" * 59)


def test_session_fits_signed_64_bit() -> None:
    assert all(0 <= new_session() < 2**63 for _ in range(100))


def test_unknown_keys_are_ignored() -> None:
    came = decode(message(new={"a": [1, {"b": 2}]}, pose=bytes(24), lat=b"", ex=b"1234", zzz=None))
    assert isinstance(came, FrameMessage)


def test_optional_keys_may_be_absent() -> None:
    came = decode(message())
    assert isinstance(came, FrameMessage)
    assert (came.frame.publish_ns, came.frame.control_id, came.frame.provider) == (0, 0, "")
    assert came.provenance is None
    assert came.unix_offset_ns is None


REJECTED = [
    ("parts", [TOPIC]),
    ("parts", []),
    ("parts", [TOPIC, msgpack.packb(header())]),
    ("parts", [*message(), b""]),
    ("parts", [TOPIC, *[b"\x80"] * 8]),
    ("parts", [TOPIC, msgpack.packb(header(k="h")), b"x"]),
    ("parts", [TOPIC, msgpack.packb(header(k="b")), b""]),
    ("topic", [b"", *message()[1:]]),
    ("topic", [b"avf1", *message()[1:]]),
    ("topic", [b"avf1/a b", *message()[1:]]),
    ("topic", [b"avf1/" + b"x" * 60, *message()[1:]]),
    ("topic", [b"avf1/aki\n", *message()[1:]]),
    ("topic", [b"avf1./aki", *message()[1:]]),
    ("topic", [b"avf1.JPEG/aki", *message()[1:]]),
    ("version", [b"avf2/aki", b"anything"]),
    ("header_size", [TOPIC, b"\x81\xa1k\xda\xff\xff" + b"x" * 65535]),
    ("msgpack", [TOPIC, b""]),
    ("msgpack", [TOPIC, b"\x90"]),
    ("msgpack", [TOPIC, msgpack.packb(header()) + b"\x00", bytes(60)]),
    ("msgpack", [TOPIC, msgpack.packb(header())[:-1], bytes(60)]),
    ("msgpack", [TOPIC, msgpack.packb({1: 2})]),
    ("msgpack", [TOPIC, msgpack.packb({b"k": "f"})]),
    ("msgpack", [TOPIC, msgpack.packb({"k": {b"x": 1}})]),
    ("msgpack", [TOPIC, msgpack.packb(header(x=msgpack.ExtType(5, b"x"))), bytes(60)]),
    ("msgpack", [TOPIC, msgpack.packb(header(x=msgpack.Timestamp(1, 2))), bytes(60)]),
    ("msgpack", [TOPIC, BOMBS[0]]),
    ("msgpack", [TOPIC, BOMBS[1]]),
    ("msgpack", [TOPIC, BOMBS[2]]),
    ("msgpack", [TOPIC, b"\x81\xa1k\xa1\xff"]),
    ("depth", message(x=[[[[]]]])),
    ("depth", message(x=[[{"y": {}}]])),
    ("keys", message(**{f"x{n}": n for n in range(60)})),
    ("kind", message(k="z")),
    ("kind", message(k=...)),
    ("kind", message(k=["f"])),
    ("header", message(v=...)),
    ("header", message(ses=...)),
    ("header", message(id=...)),
    ("header", message(id=-1)),
    ("header", message(id=1.0)),
    ("header", message(id=True)),
    ("header", message(id="2")),
    ("header", message(v=256)),
    ("header", message(w=0)),
    ("header", message(h=8193)),
    ("header", message(f=4)),
    ("header", message(pl=None)),
    ("header", message(pl=[{"e": "raw"}])),
    ("header", message(pl=plane(n=-1))),
    ("header", message(tp=2**63)),
    ("header", message(prov={"ai": 1})),
    ("format", message(f="yuv")),
    ("format", message(cs="p3")),
    ("format", message(am="maybe")),
    ("format", message(org="left")),
    ("encoding", message(pl=plane(e="jpeg"))),
    ("encoding", message(pl=plane(e="gzip"))),
    ("encoding", message(b"", pl=[{"e": "shm", "r": "rgba", "n": 60, "z": 0}])),
    ("planes", message(pl=[])),
    ("planes", message(pl=plane() * 2)),
    ("planes", message(pl=plane(r="a"))),
    ("planes", message(pl=plane(r="depth"))),
    ("planes", message(pl=[*plane(r="a"), *plane(r="rgb")])),
    ("planes", message(f="bgra8", pl=[*plane(r="rgb"), *plane(r="a")])),
    ("size", message(bytes(59))),
    ("size", message(bytes(61))),
    ("size", message(bytes(61), pl=plane(n=61, z=61))),
    ("size", message(pl=plane(n=61))),
    ("size", message(pl=plane(z=59))),
    ("size", message(st=19, pl=plane(n=57, z=57))),
    ("size", message(b"", w=8192, h=8192, pl=plane(n=2**28, z=2**28))),
    ("size", message(st=2**63)),
    ("crc", message(crc=1)),
    ("size", [*message(bytes(45), st=20, pl=[*plane(r="rgb", n=45, z=45), *plane(r="a", n=15, z=15)]), bytes(15)]),
    ("size", message(b"", pl=plane(e="lz4", n=61, z=0))),
    ("decode", message(b"", pl=plane(e="lz4", z=0))),
    ("decode", message(b"\xff" * 60, pl=plane(e="lz4"))),
    ("decode", message(bytes(60), f="rgb8", pl=plane(e="jpeg", r="rgb", n=45))),
]


@pytest.mark.parametrize(("code", "parts"), REJECTED, ids=[f"{code}-{n}" for n, (code, _) in enumerate(REJECTED)])
def test_message_is_rejected_with_a_stable_code(code: str, parts: list[bytes]) -> None:
    assert code_of(parts) == code


def test_heartbeat_with_a_non_finite_number_is_rejected() -> None:
    parts = [TOPIC, msgpack.packb({"k": "h", "v": 0, "ses": 1, "id": 0, "stats": {"fps": float("nan")}})]
    assert code_of(parts) == "number"


def test_right_checksum_is_accepted() -> None:
    assert isinstance(decode(message(bytes(range(60)), crc=zlib.crc32(bytes(range(60))))), FrameMessage)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
bytes_of_any_kind = st.binary(max_size=200) | values.map(msgpack.packb)


@settings(max_examples=400, deadline=None)
@given(st.lists(bytes_of_any_kind, max_size=9), st.sampled_from([b"", b"avf1/aki", b"avf2/a"]))
@example([BOMBS[3]], TOPIC)
def test_any_bytes_are_read_or_rejected(parts: list[bytes], topic: bytes) -> None:
    for candidate in (parts, [topic, *parts]):
        with suppress(MessageRejected):
            decode(candidate)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([*header(), "st", "cs", "am", "org", "tc", "crc", "prov", "stats", "off", "ctl", "n", "roi"]),
    values,
)
def test_any_value_under_any_known_key_is_read_or_rejected(key: str, value: Any) -> None:
    for kind in ("f", "h", "b"):
        parts = message(**{"k": kind, key: value})
        with suppress(MessageRejected):
            decode(parts if kind == "f" else parts[:2])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_frame_is_read_or_rejected(data: st.DataObject) -> None:
    parts = [
        bytes(part) for part in encode_frame(frame(), stream="aki", session=1, publish_ns=1, provenance=Provenance())
    ]
    which = data.draw(st.integers(0, 2))
    damaged = bytearray(parts[which])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    parts[which] = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(MessageRejected):
        decode(parts)


def test_decompression_bombs_take_no_memory() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        for bomb in BOMBS:
            with pytest.raises(MessageRejected):
                decode([TOPIC, bomb])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def received(pixels: bytes, **changes: Any) -> Pixels:
    came = decode(message(pixels, **changes))
    assert isinstance(came, FrameMessage)
    assert came.frame.pixels.flags.c_contiguous
    return came.frame.pixels


def test_rows_with_padding_are_read() -> None:
    rows = np.zeros((3, 24), np.uint8)
    rows[:, :20] = picture().reshape(3, 20)
    rows[:, 20:] = 77
    assert np.array_equal(received(rows.tobytes(), st=24, pl=plane(n=72, z=72)), picture())


def test_pictures_of_other_kinds_become_rgba_top_straight() -> None:
    pixels = picture()
    assert np.array_equal(received(pixels[::-1].tobytes(), org="bottom"), pixels)
    assert np.array_equal(received(pixels[..., [2, 1, 0, 3]].tobytes(), f="bgra8"), pixels)
    opaque = pixels.copy()
    opaque[..., 3] = 255
    assert np.array_equal(received(pixels.tobytes(), am="opaque"), opaque)
    rgb = pixels[..., :3].tobytes()
    assert np.array_equal(received(rgb, f="rgb8", pl=plane(r="rgb", n=45, z=45)), opaque)
    alpha = received(pixels[..., 3].tobytes(), f="a8", pl=plane(r="a", n=15, z=15))
    assert np.array_equal(alpha[..., 3], pixels[..., 3])
    assert (alpha[..., :3] == 255).all()


def test_premultiplied_colour_is_divided_by_alpha() -> None:
    pixels = bytes([100, 50, 0, 128] * 14 + [9, 9, 9, 0])
    came = received(pixels, am="premul")
    assert came[0, 0].tolist() == [199, 100, 0, 128]
    assert came[2, 4, 3] == 0


def test_linear_colour_is_encoded_and_alpha_is_not() -> None:
    came = received(bytes([0, 55, 255, 55] * 15), cs="linear")
    assert came[0, 0].tolist() == [0, 128, 255, 55]


def test_age_is_compared_on_one_clock_or_through_unix_time() -> None:
    assert age_ns(400, now_ns=1000, producer_offset_ns=None, own_offset_ns=7) == 600
    assert age_ns(400, now_ns=1000, producer_offset_ns=10**9 - 1, own_offset_ns=0) == 600
    other_host = 10**15  # its monotonic clock started that much later
    assert age_ns(400 - other_host, now_ns=1000, producer_offset_ns=other_host, own_offset_ns=0) == 600
