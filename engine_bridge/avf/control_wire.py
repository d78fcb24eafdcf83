"""The control channel of `avf/1`: encodes and decodes hello, welcome, refuse, set, req, stat, ping and pong.

Every message is one msgpack map of at most 64 KiB in one part, with its kind under the key `k`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from engine_bridge.errors import MessageRejected, ProtocolMismatch, WireError

from .messages import ClientStats, ControlState, IdentityMix, StreamInfo
from .packing import MAX_BYTES, MAX_ELEMENTS, pack, to_record, unpack
from .plain_numbers import plain, plain_state
from .planes import Unsigned
from .wire import MAJOR, MAX_SIDE_PX, MINOR, Signed64

MAX_SEED: Final = 2**63 - 1
MAX_FPS: Final = 1000.0
MAX_CLIENT_ELEMENTS: Final = 1024  # of a client's message; the live loop reads it between two frames
REQUESTS: Final = ("info", "last", "key")


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What a client would like. `fps`: frames per second it needs, 0 to leave it to the producer."""

    fps: float = 0.0


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="hello"):
    """A client introduces itself. `proto`: the major versions it speaks."""

    proto: list[Unsigned]
    v: Unsigned = MINOR
    name: str = ""
    caps: list[str] = []
    want: Want = Want()


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="welcome"):
    """The producer's answer to a hello. `proto`: the major version chosen."""

    proto: Unsigned
    ses: Unsigned
    info: StreamInfo
    v: Unsigned = MINOR
    streams: list[str] = []
    caps: list[str] = []


class Refuse(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="refuse", omit_defaults=True):
    """A rejected message. `code` is stable, `text` is for people."""

    code: str
    text: str
    ses: Unsigned = 0


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="req"):
    """Asks for the welcome again (`info`), the last frame again (`last`) or a frame decodable on its own (`key`)."""

    what: str


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="ping"):
    """Asks whether the producer is alive. `t`: the client's monotonic clock."""

    t: Signed64


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="pong"):
    """The answer to a ping: its `t`, and the producer's monotonic clock `r`."""

    t: Signed64
    r: Signed64
    ses: Unsigned


class _Mix(msgspec.Struct, frozen=True):
    who: str | int
    amount: float


class _Set(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="set", omit_defaults=True):
    cid: Unsigned
    ts: Signed64
    ex: dict[str, float] = {}
    who: str | int | None = None
    mix: _Mix | None = None
    psi: float | None = None
    emo: str | None = None
    cal: bool = False


class _Stat(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", tag="stat"):
    shown: Unsigned
    dropped: Unsigned
    age_p50: float
    age_p99: float


ClientMessage: TypeAlias = "Hello | ControlState | Request | ClientStats | Ping"
ServerMessage: TypeAlias = "Welcome | Refuse | Pong"
_FROM_CLIENT: Final = {"hello": Hello, "set": _Set, "req": Request, "stat": _Stat, "ping": Ping}
_FROM_SERVER: Final = {"welcome": Welcome, "refuse": Refuse, "pong": Pong}


def encode_client_message(message: ClientMessage) -> bytes:
    """Encode a client's message.

    Raises:
        WireError: a number is not finite or not a number, or the message is too large.
    """
    if isinstance(message, ControlState):
        return _pack(_set_of(plain_state(message)))
    if isinstance(message, ClientStats):
        return _pack(
            _Stat(shown=message.shown, dropped=message.dropped, age_p50=message.age_p50_ms, age_p99=message.age_p99_ms)
        )
    return _pack(message)


def encode_server_message(message: ServerMessage) -> bytes:
    """Encode a producer's message.

    Raises:
        WireError: the message is too large, as a welcome with thousands of identities is.
    """
    return _pack(message)


def welcome_of(info: StreamInfo, streams: Sequence[str] = ()) -> Welcome:
    """Build the welcome from a stream's info and the names of all streams of the producer."""
    return Welcome(proto=MAJOR, ses=info.session, info=info, streams=list(streams) or [info.stream], caps=["raw"])


def decode_client_message(data: bytes | memoryview, info: StreamInfo) -> ClientMessage:
    """Decode a client's message and check it against what the stream takes.

    Returns:
        the message; a `ControlState`'s numbers are finite and clamped to the limits in `info`.

    Raises:
        MessageRejected: with one of the codes of `docs/protocol.md`; nothing else is raised, whatever the bytes.
    """
    message = _decode(data, _FROM_CLIENT, MAX_CLIENT_ELEMENTS)
    if isinstance(message, _Set):
        return check_state(_state_of(message), info)
    if isinstance(message, _Stat):
        if not (math.isfinite(message.age_p50) and math.isfinite(message.age_p99)):
            raise MessageRejected("number", "a stat with a number that is not finite")
        return ClientStats(
            shown=message.shown, dropped=message.dropped, age_p50_ms=message.age_p50, age_p99_ms=message.age_p99
        )
    if isinstance(message, Hello) and MAJOR not in message.proto:
        raise ProtocolMismatch(f"this producer speaks avf/{MAJOR}, the client {message.proto[:8]}")
    if isinstance(message, Hello) and not 0.0 <= message.want.fps <= MAX_FPS:
        raise MessageRejected("number", f"a hello that wants {message.want.fps} frames per second")
    if isinstance(message, Request) and message.what not in REQUESTS:
        raise MessageRejected("request", f"{message.what[:32]!r} is not one of {', '.join(REQUESTS)}")
    assert isinstance(message, Hello | Request | Ping)
    return message


def decode_server_message(data: bytes | memoryview) -> ServerMessage:
    """Decode a producer's message.

    Raises:
        MessageRejected: with one of the codes of `docs/protocol.md`; nothing else is raised, whatever the bytes.
    """
    message = _decode(data, _FROM_SERVER, MAX_ELEMENTS)
    assert isinstance(message, Welcome | Refuse | Pong)
    if isinstance(message, Welcome):
        _check_welcome(message)
    return message


def check_state(state: ControlState, info: StreamInfo) -> ControlState:
    """Check a state against what a stream takes, including states that never travel on a wire.

    Returns:
        the state, its numbers clamped to the limits in `info`.

    Raises:
        MessageRejected: `control`, `number`, `identity` or `expression`.
    """
    state = plain_state(state)
    limits = {control.name: control for control in info.controls}
    controls: dict[str, float] = {}
    for name, value in state.controls.items():
        if name not in limits:
            raise MessageRejected("control", f"the stream has no control {name[:64]!r}")
        controls[name] = _clamped(value, limits[name].minimum, limits[name].maximum)
    mix = state.mix
    if mix is not None:
        mix = IdentityMix(_known_identity(mix.identity, info), _clamped(mix.amount, 0.0, 1.0))
    if state.identity is not None:
        _known_identity(state.identity, info)
    if state.expression and state.expression not in [expression.name for expression in info.expressions]:
        raise MessageRejected("expression", f"the character has no expression {state.expression[:64]!r}")
    psi = None if state.truncation_psi is None else _clamped(state.truncation_psi, 0.0, 1.0)
    return msgspec.structs.replace(state, controls=controls, mix=mix, truncation_psi=psi)


def _check_welcome(message: Welcome) -> None:
    if message.proto != MAJOR:
        raise ProtocolMismatch(f"the producer chose avf/{message.proto}, this client speaks avf/{MAJOR}")
    info = message.info
    if not (1 <= info.width <= MAX_SIDE_PX and 1 <= info.height <= MAX_SIDE_PX):
        raise MessageRejected("size", f"a stream of {info.width}x{info.height} pixels")
    if not (math.isfinite(info.fps) and info.fps >= 0.0):
        raise MessageRejected("number", f"a stream of {info.fps} frames per second")
    for control in info.controls:
        if not -math.inf < control.minimum <= control.rest <= control.maximum < math.inf:
            raise MessageRejected("number", f"the range of {control.name[:64]!r} is not valid")


def _decode(data: bytes | memoryview, kinds: dict[str, Any], max_elements: int) -> Any:
    message = unpack(data, max_elements=max_elements)
    kind = message.get("k")
    if not isinstance(kind, str) or kind not in kinds:
        raise MessageRejected("kind", f"unknown kind of message: {repr(kind)[:32]}")
    return to_record(message, kinds[kind])


def _pack(message: msgspec.Struct) -> bytes:
    packed = pack(msgspec.to_builtins(message, enc_hook=plain))
    if len(packed) > MAX_BYTES:
        raise WireError(f"a {type(message).__name__} of {len(packed)} bytes; at most {MAX_BYTES} are allowed")
    return packed


def _set_of(state: ControlState) -> _Set:
    mix = None if state.mix is None else _Mix(state.mix.identity, state.mix.amount)
    return _Set(
        cid=state.control_id,
        ts=state.timestamp_ns,
        ex=state.controls,
        who=state.identity,
        mix=mix,
        psi=state.truncation_psi,
        emo=state.expression,
        cal=state.calibrate,
    )


def _state_of(message: _Set) -> ControlState:
    mix = None if message.mix is None else IdentityMix(message.mix.who, message.mix.amount)
    return ControlState(
        control_id=message.cid,
        timestamp_ns=message.ts,
        controls=message.ex,
        identity=message.who,
        mix=mix,
        truncation_psi=message.psi,
        expression=message.emo,
        calibrate=message.cal,
    )


def _clamped(value: float, minimum: float, maximum: float) -> float:
    return min(max(value, minimum), maximum)


def _known_identity(who: str | int, info: StreamInfo) -> str | int:
    if isinstance(who, str):
        if who not in info.identities:
            raise MessageRejected("identity", f"the character has no identity {who[:64]!r}")
    elif not info.has_mapping:
        raise MessageRejected("identity", "the character has no mapping network, so it takes names, not seeds")
    elif not 0 <= who <= MAX_SEED:
        raise MessageRejected("identity", f"seed {who} is not between 0 and {MAX_SEED}")
    return who
