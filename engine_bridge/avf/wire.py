"""The frame channel of `avf/1`: encodes and decodes frames, heartbeats and byes.

`docs/protocol.md` is the specification for other languages.

A message is `[topic][header][planes...]`: the topic `avf1/<stream>` carries the major version, so that a client never
even receives what it cannot read; the header is a msgpack map; `planes.py` encodes the pixels.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np

from engine_bridge.errors import FrameOvertaken, MessageRejected, ProtocolMismatch, WireError
from engine_bridge.frame import Frame

from .messages import LiveStats, Provenance
from .packing import MAX_KEYS, pack, to_record, unpack
from .pixels import ALPHA_MODES, BYTES_PER_PIXEL, COLOUR_SPACES, ORIGINS, to_rgba_top_straight
from .planes import MAX_PICTURE_BYTES, RAW, EncodedPicture, Part, Picture, Plane, Unsigned, decode_planes, encode_raw
from .ring import RingCache

PROTOCOL: Final = "avf/1"
MAJOR: Final = 1
MINOR: Final = 1
TOPIC_FAMILY: Final = b"avf"  # common prefix of the topics of every major version
MAX_TOPIC_BYTES: Final = 80
MIN_PARTS: Final = 2  # topic and header
MAX_PARTS: Final = 8
MAX_SIDE_PX: Final = 8192

_TOPIC = re.compile(rb"avf(?P<major>[0-9]{1,5})(?:\.(?P<variant>[a-z0-9]{1,8}))?/(?P<stream>[A-Za-z0-9._-]{1,59})")
_STREAM = re.compile(r"[A-Za-z0-9._-]{1,59}")

Signed64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX)]


class Topic(NamedTuple):
    """Content of a topic of any version: major version, variant (`raw` if it names none) and stream."""

    major: int
    variant: str
    stream: str


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """Keys common to all messages."""

    v: Byte
    ses: Unsigned
    id: Unsigned  # of this frame; of the last frame sent, in a heartbeat or a bye
    off: Signed64 | None = None
    prov: Provenance | None = None


class FrameHeader(_Common, frozen=True, kw_only=True):
    """Keys of a frame's header, by their names on the wire."""

    w: Side
    h: Side
    f: str
    pl: list[Plane]
    st: Unsigned | None = None
    cs: str = "srgb"
    am: str = "straight"
    org: str = "top"
    tc: Signed64 = 0
    tr: Signed64 = 0
    tp: Signed64 = 0
    ca: Unsigned = 0
    ct: Signed64 = 0
    eng: str = ""
    key: bool = True
    roi: list[Unsigned] | None = None
    crc: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | None = None


class HeartbeatHeader(_Common, frozen=True, kw_only=True):
    """Keys of a heartbeat's header."""

    n: Unsigned = 0
    ctl: str = ""
    enc: list[str] = msgspec.field(default_factory=lambda: [RAW])
    shm: str = ""
    stats: LiveStats | None = None


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """A received frame.

    Attributes:
        frame: its pixels are read-only and share the memory of the message, which they keep alive.
        provenance: only with the first frame of a session.
        unix_offset_ns: the producer's monotonic-to-Unix offset, None if not announced.
    """

    frame: Frame
    provenance: Provenance | None = None
    unix_offset_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A producer's sign of life.

    Attributes:
        stream: name of the stream.
        session: the producer's session.
        frame_id: the last frame sent, 0 if none.
        sent: frames sent in this session.
        stats: live-loop statistics, None if not announced.
        control_endpoint: of the control channel, empty if there is none.
        variants: available for subscription.
        ring: name of the ring of shared memory, empty if there is none.
        provenance: where the pictures come from.
        unix_offset_ns: the producer's monotonic-to-Unix offset, None if not announced.
    """

    stream: str
    session: int
    frame_id: int
    sent: int = 0
    stats: LiveStats | None = None
    control_endpoint: str = ""
    variants: tuple[str, ...] = (RAW,)
    ring: str = ""
    provenance: Provenance | None = None
    unix_offset_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Bye:
    """A producer's deliberate end of its session."""

    stream: str
    session: int
    frame_id: int


Message: TypeAlias = "FrameMessage | Heartbeat | Bye"
Header = TypeVar("Header", bound=_Common)


def new_session() -> int:
    """Generate a session number: 63 random bits, so that languages without unsigned 64-bit integers can hold it."""
    return secrets.randbits(63)


def topic_prefix(variant: str = RAW) -> bytes:
    """Topic prefix of all streams in a variant."""
    return f"avf{MAJOR}/".encode() if variant == RAW else f"avf{MAJOR}.{variant}/".encode()


def topic_of(stream: str, variant: str = RAW) -> bytes:
    """Topic of a stream in a variant.

    Raises:
        WireError: the name is not a valid stream name.
    """
    if not _STREAM.fullmatch(stream):
        raise WireError(f"{stream[:80]!r} cannot name a stream. Use 1 to 59 of the characters A-Z a-z 0-9 . _ -")
    return topic_prefix(variant) + stream.encode("ascii")


def split_topic(topic: Part) -> Topic:
    """Parse a topic of any version.

    Raises:
        MessageRejected: `topic`.
    """
    match = _TOPIC.fullmatch(bytes(topic[: MAX_TOPIC_BYTES + 1]))
    if match is None or len(topic) > MAX_TOPIC_BYTES:
        raise MessageRejected("topic", f"the topic is not avf<major>/<stream>: {bytes(topic[:32])!r}")
    variant = RAW if match["variant"] is None else match["variant"].decode("ascii")
    return Topic(int(match["major"]), variant, match["stream"].decode("ascii"))


def check_pixels(frame: Frame) -> None:
    """Check that the wire can carry a frame's pixels.

    Raises:
        WireError: the pixels are not uint8 [H, W, 4] of a size that the wire carries.
    """
    pixels = frame.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 4:
        raise WireError(f"frame {frame.frame_id} holds {pixels.dtype} {list(pixels.shape)}; give uint8 [H, W, 4], RGBA")
    height, width = pixels.shape[:2]
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX and pixels.nbytes <= MAX_PICTURE_BYTES):
        raise WireError(
            f"frame {frame.frame_id} is {width}x{height}; the wire carries 1 to {MAX_SIDE_PX} pixels a side "
            f"and {MAX_PICTURE_BYTES // 2**20} MiB. Render smaller."
        )


def encode_frame(
    frame: Frame,
    *,
    stream: str,
    session: int,
    publish_ns: int,
    provenance: Provenance | None = None,
    variant: str = RAW,
    picture: EncodedPicture | None = None,
) -> list[Part]:
    """Encode a frame.

    Args:
        frame: what to send. Its own `stream`, `session` and `publish_ns` are ignored.
        stream: name of the stream.
        session: the publisher's session.
        publish_ns: time of sending, on the producer's monotonic clock.
        provenance: given with the first frame of a session.
        variant: whose topic is used.
        picture: the pixels encoded for the variant; None sends them raw.

    Returns:
        topic, header, and planes; a raw plane is not copied if the pixels are contiguous.

    Raises:
        WireError: the pixels are not uint8 [H, W, 4] of a size that the wire carries.
    """
    check_pixels(frame)
    picture = picture or encode_raw(frame.pixels)
    height, width = frame.pixels.shape[:2]
    header: dict[str, Any] = {
        "k": "f",
        "v": MINOR,
        "ses": session,
        "id": frame.frame_id,
        "w": width,
        "h": height,
        "f": "rgba8",
        "pl": picture.planes,
        "tc": frame.capture_ns,
        "tr": frame.render_start_ns,
        "tp": publish_ns,
        "ca": frame.control_id,
        "ct": frame.control_timestamp_ns,
        "eng": frame.provider,
    }
    if provenance is not None:
        header["prov"] = msgspec.to_builtins(provenance)
    return [topic_of(stream, variant), pack(header), *picture.parts]


def encode_heartbeat(heartbeat: Heartbeat, variant: str = RAW) -> list[Part]:
    """Encode a heartbeat for the topic of a variant."""
    header: dict[str, Any] = {
        "k": "h",
        "v": MINOR,
        "ses": heartbeat.session,
        "id": heartbeat.frame_id,
        "n": heartbeat.sent,
    }
    if heartbeat.control_endpoint:
        header["ctl"] = heartbeat.control_endpoint
    if heartbeat.variants != (RAW,):
        header["enc"] = list(heartbeat.variants)
    if heartbeat.ring:
        header["shm"] = heartbeat.ring
    if heartbeat.unix_offset_ns is not None:
        header["off"] = heartbeat.unix_offset_ns
    if heartbeat.provenance is not None:
        header["prov"] = msgspec.to_builtins(heartbeat.provenance)
    if heartbeat.stats is not None:
        header["stats"] = msgspec.to_builtins(heartbeat.stats)
    return [topic_of(heartbeat.stream, variant), pack(header)]


def encode_bye(bye: Bye, variant: str = RAW) -> list[Part]:
    """Encode a bye for the topic of a variant."""
    return [topic_of(bye.stream, variant), pack({"k": "b", "v": MINOR, "ses": bye.session, "id": bye.frame_id})]


def decode(parts: Sequence[Part], rings: RingCache | None = None, *, overtaken: bool = False) -> Message:
    """Decode one message of the frame channel, of any variant.

    Args:
        parts: as received. A raw frame's pixels refer to the memory of the last part.
        rings: for reading pixels in shared memory; without them such a frame is rejected.
        overtaken: whether newer frames are waiting, so that these pixels need not be decoded.

    Raises:
        MessageRejected: with one of the codes of `docs/protocol.md`.
        FrameOvertaken: it is a frame and `overtaken`, or its slot in shared memory was overwritten. Nothing
            else is raised, whatever the bytes.
    """
    if not 2 <= len(parts) <= MAX_PARTS:
        raise MessageRejected("parts", f"a message of {len(parts)} parts; 2 to {MAX_PARTS} are possible")
    major, _, stream = split_topic(parts[0])
    if major != MAJOR:
        raise ProtocolMismatch(f"the producer speaks avf/{major}, this client {PROTOCOL}")
    message = unpack(parts[1], max_keys=MAX_KEYS)
    kind = message.get("k")
    if kind == "f":
        return _decode_frame(stream, message, parts[2:], rings, overtaken=overtaken)
    if kind == "h":
        return _decode_heartbeat(stream, message, parts[2:])
    if kind == "b":
        header = _header(message, _Common, parts[2:])
        return Bye(stream, header.ses, header.id)
    raise MessageRejected("kind", f"unknown kind of message: {repr(kind)[:32]}")


def _decode_frame(
    stream: str, message: dict[str, Any], payload: Sequence[Part], rings: RingCache | None, *, overtaken: bool
) -> FrameMessage:
    header = to_record(message, FrameHeader)
    for value, known in (
        (header.f, tuple(BYTES_PER_PIXEL)),
        (header.cs, COLOUR_SPACES),
        (header.am, ALPHA_MODES),
        (header.org, ORIGINS),
    ):
        if value not in known:
            raise MessageRejected("format", f"{value[:32]!r} is not one of {', '.join(known)}")
    if overtaken:
        raise FrameOvertaken(f"frame {header.id} was overtaken", session=header.ses, frame_id=header.id)
    picture = Picture(header.w, header.h, header.f, header.st, header.crc, header.ses)
    try:
        rows = decode_planes(picture, header.pl, payload, rings)
    except FrameOvertaken as error:
        raise FrameOvertaken(str(error), session=header.ses, frame_id=header.id) from None
    pixels = to_rgba_top_straight(rows, header.f, header.cs, header.am, header.org)
    pixels.flags.writeable = False
    frame = Frame(
        pixels=pixels,
        frame_id=header.id,
        session=header.ses,
        stream=stream,
        capture_ns=header.tc,
        render_start_ns=header.tr,
        publish_ns=header.tp,
        control_id=header.ca,
        control_timestamp_ns=header.ct,
        provider=header.eng,
    )
    return FrameMessage(frame, header.prov, header.off)


def _decode_heartbeat(stream: str, message: dict[str, Any], payload: Sequence[Part]) -> Heartbeat:
    header = _header(message, HeartbeatHeader, payload)
    if header.stats is not None and not _all_finite(msgspec.to_builtins(header.stats)):
        raise MessageRejected("number", "a heartbeat with a number that is not finite")
    return Heartbeat(
        stream=stream,
        session=header.ses,
        frame_id=header.id,
        sent=header.n,
        stats=header.stats,
        control_endpoint=header.ctl,
        variants=tuple(header.enc),
        ring=header.shm,
        provenance=header.prov,
        unix_offset_ns=header.off,
    )


def _header(message: dict[str, Any], kind: type[Header], payload: Sequence[Part]) -> Header:
    if payload:
        raise MessageRejected("parts", f"{len(payload)} payload parts where none belong")
    return to_record(message, kind)


def _all_finite(values: dict[str, Any]) -> bool:
    return all(math.isfinite(value) for value in values.values() if isinstance(value, float))
