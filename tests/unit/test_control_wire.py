"""The control channel's bytes: states arrive clamped, garbage is rejected."""

from __future__ import annotations

import math
from contextlib import suppress
from fractions import Fraction
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_bridge.avf.control_wire import (
    Hello,
    Ping,
    Pong,
    Refuse,
    Request,
    Want,
    Welcome,
    check_state,
    decode_client_message,
    decode_server_message,
    encode_client_message,
    encode_server_message,
    welcome_of,
)
from engine_bridge.avf.messages import ClientStats, ControlSpec, ControlState, ExpressionSpec, IdentityMix, StreamInfo
from engine_bridge.errors import MessageRejected, WireError

INFO = StreamInfo(
    session=5,
    stream="aki",
    character="Aki",
    width=256,
    height=256,
    fps=60.0,
    controls=[ControlSpec("headYaw", -30.0, 30.0, 0.0, "head"), ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth")],
    identities=["aki", "ren"],
    expressions=[ExpressionSpec("happy", "1")],
    has_mapping=True,
    provider="synthetic",
)
NAMES_ONLY = StreamInfo(5, "aki", "Aki", 256, 256, 60.0, INFO.controls, ["aki"])


def packed(kind: str = "set", **keys: Any) -> bytes:
    needed = {"cid": 1, "ts": 2} if kind == "set" else {}
    message = {"k": kind, **needed, **keys}
    data: bytes = msgpack.packb({key: value for key, value in message.items() if value is not ...})
    return data


def state_of(**keys: Any) -> ControlState:
    state = decode_client_message(packed(**keys), INFO)
    assert isinstance(state, ControlState)
    return state


def test_state_comes_back_as_it_was_sent() -> None:
    state = ControlState(
        control_id=2**64 - 1,
        timestamp_ns=-1,
        controls={"headYaw": -12.5, "jawOpen": 1.0},
        identity="ren",
        mix=IdentityMix(77, 0.25),
        truncation_psi=0.5,
        expression="happy",
        calibrate=True,
    )
    assert decode_client_message(encode_client_message(state), INFO) == state
    empty = ControlState(control_id=1, timestamp_ns=1)
    assert decode_client_message(encode_client_message(empty), INFO) == empty
    none = ControlState(control_id=1, timestamp_ns=1, expression="")
    assert decode_client_message(encode_client_message(none), INFO) == none


def test_a_state_is_small() -> None:
    assert len(encode_client_message(ControlState(control_id=1, timestamp_ns=10**15, controls={"jawOpen": 0.5}))) < 64


def test_whole_vocabulary_fits_one_state() -> None:
    many = [ControlSpec(f"control{n}", 0.0, 1.0, 0.0) for n in range(120)]
    info = StreamInfo(5, "aki", "Aki", 256, 256, 60.0, many)
    state = ControlState(control_id=1, timestamp_ns=1, controls={spec.name: 0.5 for spec in many})
    assert decode_client_message(encode_client_message(state), info) == state


@pytest.mark.parametrize(
    "message", [Hello(proto=[1, 2], name="game", want=Want(fps=30.0)), Request(what="last"), Ping(t=-5)]
)
def test_client_messages_come_back_as_they_were_sent(message: Hello | Request | Ping) -> None:
    assert decode_client_message(encode_client_message(message), INFO) == message


def test_stat_comes_back_as_it_was_sent() -> None:
    stats = ClientStats(shown=3, dropped=4, age_p50_ms=8.5, age_p99_ms=17.25)
    assert decode_client_message(encode_client_message(stats), INFO) == stats


@pytest.mark.parametrize("message", [welcome_of(INFO), Refuse(code="control", text="no"), Pong(t=1, r=2, ses=3)])
def test_server_messages_come_back_as_they_were_sent(message: Any) -> None:
    assert decode_server_message(encode_server_message(message)) == message


def test_numbers_are_clamped_to_the_limits() -> None:
    state = state_of(ex={"headYaw": -1e300, "jawOpen": 7}, psi=-0.1, mix={"who": 1, "amount": 2.0})
    assert state.controls == {"headYaw": -30.0, "jawOpen": 1.0}
    assert state.truncation_psi == 0.0
    assert state.mix == IdentityMix(1, 1.0)


REJECTED = [
    ("number", packed(ex={"jawOpen": math.nan})),
    ("number", packed(ex={"headYaw": math.inf})),
    ("number", packed(psi=-math.inf)),
    ("number", packed(mix={"who": "aki", "amount": math.nan})),
    ("number", packed("stat", shown=1, dropped=0, age_p50=math.nan, age_p99=1.0)),
    ("control", packed(ex={"jawopen": 0.5})),
    ("identity", packed(who="Aki")),
    ("identity", packed(who=-1)),
    ("identity", packed(who=2**63)),
    ("identity", packed(mix={"who": "nobody", "amount": 0.5})),
    ("expression", packed(emo="bored")),
    ("request", packed("req", what="everything")),
    ("version", packed("hello", proto=[2, 3])),
    ("version", packed("hello", proto=[])),
    ("header", packed("hello")),
    ("header", packed("hello", proto=[1], want=30)),
    ("header", packed("hello", proto=[1], want={"fps": "many"})),
    ("number", packed("hello", proto=[1], want={"fps": -1.0})),
    ("number", packed("hello", proto=[1], want={"fps": float("nan")})),
    ("number", packed("hello", proto=[1], want={"fps": float("inf")})),
    ("header", packed(cid=...)),
    ("header", packed(cid=-1)),
    ("header", packed(ts="now")),
    ("header", packed(ex={"jawOpen": "0.5"})),
    ("header", packed(ex={"jawOpen": True})),
    ("header", packed(ex=[1.0])),
    ("header", packed(who=1.5)),
    ("header", packed(mix={"who": 1})),
    ("header", packed(cal=1)),
    ("kind", packed("welcome")),
    ("kind", b"\x80"),
    ("kind", packed(k=[])),
    ("msgpack", b""),
    ("msgpack", b"\xdd\x0f\xff\xff\xff"),
    ("msgpack", b"\x91" * 5000),
    ("depth", packed(x=[[[[]]]])),
    ("header_size", b"\x80" * 65537),
]


@pytest.mark.parametrize(("code", "data"), REJECTED, ids=[f"{code}-{n}" for n, (code, _) in enumerate(REJECTED)])
def test_message_is_rejected_with_a_stable_code(code: str, data: bytes) -> None:
    with pytest.raises(MessageRejected) as caught:
        decode_client_message(data, INFO)
    assert caught.value.code == code


def test_unknown_control_is_named() -> None:
    with pytest.raises(MessageRejected, match="'tailWag'"):
        state_of(ex={"tailWag": 1.0})


def test_seeds_need_a_mapping_network() -> None:
    with pytest.raises(MessageRejected, match="no mapping network"):
        decode_client_message(packed(who=7), NAMES_ONLY)


def test_unknown_keys_are_ignored() -> None:
    assert state_of(lat=b"abc", pose=bytes(24), zzz={"a": 1}) == ControlState(control_id=1, timestamp_ns=2)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("version", {"proto": 2}),
        ("size", {"info": {"width": 0}}),
        ("size", {"info": {"height": 10**6}}),
        ("number", {"info": {"fps": math.nan}}),
        ("number", {"info": {"controls": [{"name": "a", "minimum": 1.0, "maximum": 0.0, "rest": 0.5}]}}),
        ("number", {"info": {"controls": [{"name": "a", "minimum": 0.0, "maximum": math.nan, "rest": 0.5}]}}),
        ("header", {"info": {"controls": [{"name": "a"}]}}),
        ("header", {"info": {"width": "256"}}),
    ],
)
def test_welcome_that_cannot_be_is_rejected(code: str, changes: dict[str, Any]) -> None:
    good = msgpack.unpackb(encode_server_message(welcome_of(INFO)))
    info = {**good["info"], **changes.get("info", {})}
    with pytest.raises(MessageRejected) as caught:
        decode_server_message(msgpack.packb({**good, **changes, "info": info}))
    assert caught.value.code == code


def test_non_finite_numbers_are_not_sent() -> None:
    with pytest.raises(WireError, match="not finite"):
        encode_client_message(ControlState(controls={"jawOpen": math.nan}))


def test_welcome_that_is_too_large_is_not_sent() -> None:
    info = StreamInfo(5, "aki", "Aki", 256, 256, 60.0, [], [f"identity number {n}" for n in range(5000)])
    with pytest.raises(WireError, match="at most 65536 are allowed"):
        encode_server_message(welcome_of(info))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["jawOpen", "who", "amount", "a"]), inner)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "k",
        "v",
        "proto",
        "name",
        "caps",
        "cid",
        "ts",
        "ex",
        "who",
        "mix",
        "psi",
        "emo",
        "cal",
        "what",
        "t",
        "r",
        "ses",
        "info",
        "code",
        "text",
        "shown",
        "age_p50",
    ]
)
kinds = st.sampled_from(["hello", "set", "req", "stat", "ping", "welcome", "refuse", "pong"])


@settings(max_examples=800, deadline=None)
@given(kinds, st.dictionaries(keys, values, max_size=6))
def test_any_values_under_known_keys_are_read_or_rejected(kind: str, message: dict[str, Any]) -> None:
    data = msgpack.packb({"cid": 1, "ts": 1, "proto": [1], "t": 0, "k": kind, **message})
    for read in (lambda: decode_client_message(data, INFO), lambda: decode_server_message(data)):
        with suppress(MessageRejected):
            read()


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_rejected(data: bytes) -> None:
    for read in (lambda: decode_client_message(data, INFO), lambda: decode_server_message(data)):
        with pytest.raises(MessageRejected):
            read()


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["headYaw", "jawOpen"]), st.floats()))
def test_accepted_states_are_within_the_limits(controls: dict[str, float]) -> None:
    try:
        state = state_of(ex=controls)
    except MessageRejected:
        assert not all(math.isfinite(value) for value in controls.values())
    else:
        limits = {spec.name: spec for spec in INFO.controls}
        assert all(limits[name].minimum <= value <= limits[name].maximum for name, value in state.controls.items())


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.array(1)[()], np.int64(1), Fraction(1, 2)])
def test_numbers_of_any_library_travel(number: Any) -> None:
    state = ControlState(
        control_id=np.uint32(3),  # type: ignore[arg-type]
        timestamp_ns=np.int64(4),  # type: ignore[arg-type]
        controls={"jawOpen": number},
        identity=np.int64(5),  # type: ignore[arg-type]
        mix=IdentityMix(np.uint8(6), number),  # type: ignore[arg-type]
        truncation_psi=number,
        calibrate=np.bool_(True),  # type: ignore[arg-type]
    )
    info = msgspec.structs.replace(INFO, has_mapping=True)
    plain = ControlState(
        control_id=3,
        timestamp_ns=4,
        controls={"jawOpen": float(number)},
        identity=5,
        mix=IdentityMix(6, float(number)),
        truncation_psi=float(number),
        calibrate=True,
    )
    assert decode_client_message(encode_client_message(state), info) == plain
    in_process = check_state(state, info)
    assert in_process == plain
    assert type(in_process.controls["jawOpen"]) is float


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), "1", None, math.nan, np.float32("inf"), [1.0], np.array([1.0]), 10**400, 1j]
)
def test_what_is_not_a_number_is_refused_by_the_name_of_its_control(value: Any) -> None:
    state = ControlState(controls={"jawOpen": value})
    with pytest.raises(WireError, match="jawOpen is"):
        encode_client_message(state)
    with pytest.raises(MessageRejected, match="jawOpen is") as caught:
        check_state(state, INFO)
    assert caught.value.code == "number"


def test_numbers_of_numpy_travel_in_what_a_client_and_a_producer_tell() -> None:
    hello = Hello(proto=[1], want=Want(fps=np.float32(30.0)))  # type: ignore[arg-type]
    assert decode_client_message(encode_client_message(hello), INFO) == Hello(proto=[1], want=Want(fps=30.0))
    control = ControlSpec("jawOpen", np.float32(0.0), np.float32(1.0), np.float32(0.5))  # type: ignore[arg-type]
    told = decode_server_message(encode_server_message(welcome_of(msgspec.structs.replace(INFO, controls=[control]))))
    assert isinstance(told, Welcome)
    assert told.info.controls == [ControlSpec("jawOpen", 0.0, 1.0, 0.5)]
