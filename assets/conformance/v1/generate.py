"""Writes the conformance kit: every case from fixed seeds, with nothing of Bunraku's own code.

    python assets/conformance/v1/generate.py [FOLDER]

What a client must make of each case is worked out here a second time, in the plainest way, so that the kit and a
client can only agree if both follow docs/protocol.md. Needs numpy and msgpack. `portrait.jpg` beside this file is the
one thing that is not made anew: encoders of JPEG differ in their bytes.
"""

from __future__ import annotations

import hashlib
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

HERE = Path(__file__).resolve().parent
HEADER = HERE.parents[2] / "engine_bridge/native/include/bunraku/client.h"
TOPIC = b"avf1/aki"
SESSION = 2**63 - 1
RING_NAME = "/bunraku-conformance"
PAGE = 4096

Rows = np.ndarray[Any, np.dtype[np.uint8]]
Message = tuple[list[bytes], dict[str, object]]


class Case:
    """Messages for a fresh client, and what it makes of them."""

    def __init__(self, name: str, *messages: Message, needs: str = "", topic: str = "avf1/", ring: bytes = b"") -> None:
        self.name, self.messages, self.needs, self.topic, self.ring = name, messages, needs, topic, ring


def picture(width: int = 5, height: int = 3) -> Rows:
    """Noise with all kinds of alpha, 0 and 255 among them. Uint8 [H, W, 4]."""
    rng = np.random.default_rng(width * 1000 + height)
    rgba = rng.integers(0, 256, (height, width, 4), np.uint8)
    rgba.reshape(-1, 4)[::3, 3] = 255
    rgba.reshape(-1, 4)[::5, 3] = 0
    return rgba


CHANNELS = {"rgba8": (0, 1, 2, 3), "bgra8": (2, 1, 0, 3), "rgb8": (0, 1, 2), "a8": (3,)}
ROLES = {"rgba8": "rgba", "bgra8": "rgba", "rgb8": "rgb", "a8": "a"}


def stored(pixels: Rows, pixel_format: str) -> Rows:
    """The pixels in the order of bytes of a format."""
    return np.ascontiguousarray(pixels[..., CHANNELS[pixel_format]])


def upright(rows: Rows, pixel_format: str, colours: str, alpha: str, origin: str) -> Rows:
    """What a client shows: RGBA8, row 0 on top, sRGB-encoded, straight alpha. Pixel by pixel, as the rules read."""
    height, width = rows.shape[:2]
    shown = np.zeros((height, width, 4), np.uint8)
    for y in range(height):
        for x in range(width):
            value = [int(byte) for byte in rows[y if origin == "top" else height - 1 - y, x]]
            if pixel_format == "a8":
                r, g, b, a = 255, 255, 255, value[0]
            else:
                r, g, b = value[:3] if pixel_format != "bgra8" else value[2::-1]
                a = value[3] if len(value) == 4 else 255
            if alpha == "opaque":
                a = 255
            if alpha == "premul":
                r, g, b = (min((c * 255 + a // 2) // max(a, 1), 255) for c in (r, g, b))
            if colours == "linear":
                r, g, b = (srgb(c) for c in (r, g, b))
            shown[y, x] = r, g, b, a
    return shown


def srgb(linear: int) -> int:
    """The transfer function of IEC 61966-2-1 for one byte."""
    value = linear / 255
    encoded = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return round(encoded * 255)


def header(**changes: Any) -> dict[str, Any]:
    """A good frame header for `picture()` sent raw; a value of ... leaves the key out."""
    keys: dict[str, Any] = {
        "k": "f",
        "v": 1,
        "ses": SESSION,
        "id": 7,
        "w": 5,
        "h": 3,
        "f": "rgba8",
        "pl": [plane()],
        "tc": 1_000_000,
        "tr": 2_000_000,
        "tp": 3_000_000,
        "ca": 9,
        "ct": -4,
        "eng": "synthetic",
    } | changes
    return {key: value for key, value in keys.items() if value is not ...}


def plane(encoding: str = "raw", role: str = "rgba", decoded: int = 60, sent: int = 60, **more: Any) -> dict[str, Any]:
    """What a header tells of one plane; by default of `picture()` sent raw."""
    return {"e": encoding, "r": role, "n": decoded, "z": sent, **more}


def parts(payload: list[bytes] | None = None, /, *, topic: bytes = TOPIC, **changes: Any) -> list[bytes]:
    """A frame's parts; the payload is the picture sent raw unless given."""
    payload = [picture().tobytes()] if payload is None else payload
    return [topic, msgpack.packb(header(**changes)), *payload]


def frame(message: list[bytes], shown: Rows, *, near: int = 0) -> Message:
    """A message that shows a picture."""
    keys = msgpack.unpackb(message[1])
    expected: dict[str, object] = {"result": "frame", "stream": message[0].decode().partition("/")[2]}
    expected |= {key: keys.get(key, "" if key == "eng" else 0) for key in ("id", "ses", "w", "h", "eng")}
    expected |= {key: keys.get(key, 0) for key in ("tc", "tr", "tp", "ca", "ct")}
    if near:
        return message, expected | {"near": near, "rgba": shown}
    return message, expected | {"sha256": hashlib.sha256(shown.tobytes()).hexdigest()}


def good(**changes: Any) -> Message:
    """The plain frame, with other numbers."""
    return frame(parts(**changes), picture())


def drop(code: str, message: list[bytes]) -> Message:
    """A message that is dropped."""
    return message, {"result": f"drop:{code}"}


def lz4(data: bytes) -> bytes:
    """An LZ4 block with matches, made as simply as the format allows: greedy, looking back for four equal bytes."""
    out, at, literals, seen = bytearray(), 0, 0, dict[bytes, int]()

    def length(value: int) -> bytes:
        return b"" if value < 15 else b"\xff" * ((value - 15) // 255) + bytes([(value - 15) % 255])

    while at < len(data) - 12:  # a match may not begin within the last twelve bytes
        before, key = seen.get(data[at : at + 4]), data[at : at + 4]
        seen[key] = at
        if before is None or at - before > 65535:
            at += 1
            continue
        size = 4
        while at + size < len(data) - 5 and data[before + size] == data[at + size]:
            size += 1
        run = data[literals:at]
        out += bytes([min(len(run), 15) << 4 | min(size - 4, 15)]) + length(len(run)) + run
        out += struct.pack("<H", at - before) + length(size - 4)
        at += size
        literals = at
    run = data[literals:]
    return bytes(out + bytes([min(len(run), 15) << 4]) + length(len(run)) + run)


def pictures() -> Iterator[Case]:
    """Every format, colour space, alpha and origin; sizes and gaps."""
    for pixel_format in CHANNELS:
        for colours in ("srgb", "linear"):
            for alpha in ("straight", "premul", "opaque"):
                for origin in ("top", "bottom"):
                    rows = stored(picture(), pixel_format)
                    shown = upright(rows, pixel_format, colours, alpha, origin)
                    message = parts(
                        [rows.tobytes()],
                        f=pixel_format,
                        cs=colours,
                        am=alpha,
                        org=origin,
                        pl=[plane("raw", ROLES[pixel_format], rows.size, rows.size)],
                    )
                    yield Case(f"{pixel_format}_{colours}_{alpha}_{origin}", frame(message, shown))
    for width, height in ((1, 1), (1, 9), (33, 1), (127, 65)):
        pixels = picture(width, height)
        size = pixels.size
        message = parts([pixels.tobytes()], w=width, h=height, pl=[plane("raw", "rgba", size, size)])
        yield Case(f"size_{width}x{height}", frame(message, pixels))
    padded = np.full((3, 24), 77, np.uint8)
    padded[:, :20] = picture().reshape(3, 20)
    message = parts([padded.tobytes()], st=24, pl=[plane("raw", "rgba", 72, 72)])
    yield Case("rows_with_gaps", frame(message, picture()))
    checked = parts([padded.tobytes()], st=24, pl=[plane("raw", "rgba", 72, 72)], crc=zlib.crc32(padded.tobytes()))
    yield Case("checksum_covers_the_gaps", frame(checked, picture()))
    yield Case("checksum", frame(parts(crc=zlib.crc32(picture().tobytes())), picture()))
    defaults = dict.fromkeys(("tc", "tr", "tp", "ca", "ct", "eng"), ...)
    yield Case("only_what_is_needed", frame(parts(**defaults), picture()))
    yield Case("everything", frame(parts(**FULL), picture()))


FULL: dict[str, Any] = {
    "st": 20,
    "cs": "srgb",
    "am": "straight",
    "org": "top",
    "key": True,
    "roi": [0, 0, 5, 3],
    "off": -(2**62),
    "prov": {"ai": True, "model": "sha256:ab", "generator": "kit", "source": "CC0-1.0"},
    "new": {"a": [1, {"b": 2.5}], "c": None},
    "zzz": b"\x00\xff",
}


def encodings() -> Iterator[Case]:
    """LZ4, JPEG, two planes, shared memory."""
    for pixel_format, role in ROLES.items():
        rows = stored(picture(31, 17), pixel_format)
        rows[4:9] = rows[3]  # something to match
        packed = lz4(rows.tobytes())
        message = parts([packed], w=31, h=17, f=pixel_format, pl=[plane("lz4", role, rows.size, len(packed))])
        shown = upright(rows, pixel_format, "srgb", "straight", "top")
        yield Case(f"lz4_{pixel_format}", frame(message, shown), needs="lz4")
    padded = np.full((3, 24), 77, np.uint8)
    padded[:, :20] = picture().reshape(3, 20)
    packed = lz4(padded.tobytes())
    message = parts([packed], st=24, pl=[plane("lz4", "rgba", 72, len(packed))], crc=zlib.crc32(padded.tobytes()))
    yield Case("lz4_rows_with_gaps", frame(message, picture()), needs="lz4")

    colour, alpha = picture()[..., :3].tobytes(), picture()[..., 3].tobytes()
    message = parts([colour, alpha], pl=[plane("raw", "rgb", 45, 45), plane("raw", "a", 15, 15)])
    yield Case("two_raw_planes", frame(message, picture()))
    message = parts([lz4(colour), alpha], pl=[plane("lz4", "rgb", 45, len(lz4(colour))), plane("raw", "a", 15, 15)])
    yield Case("two_planes_one_lz4", frame(message, picture()), needs="lz4")

    jpeg = (HERE / "portrait.jpg").read_bytes()
    shown = np.fromfile(HERE / "portrait.rgb", np.uint8).reshape(48, 64, 3)
    y, x = np.mgrid[0:48, 0:64]
    disc = np.clip(255 - 8 * (np.hypot(x - 32, y - 24) - 16), 0, 255).astype(np.uint8)
    opaque = np.dstack([shown, np.full_like(disc, 255)])
    rgba = np.dstack([shown, disc])
    size = {"w": 64, "h": 48}
    message = parts([jpeg], **size, f="rgb8", pl=[plane("jpeg", "rgb", 9216, len(jpeg))])
    yield Case("jpeg_rgb8", frame(message, opaque, near=6), needs="jpeg")
    packed = lz4(disc.tobytes())
    for name, needs, encoding, sent in (("raw", "jpeg", "raw", disc.tobytes()), ("lz4", "jpeg,lz4", "lz4", packed)):
        planes = [plane("jpeg", "rgb", 9216, len(jpeg)), plane(encoding, "a", 3072, len(sent))]
        yield Case(f"jpeg_and_{name}_alpha", frame(parts([jpeg, sent], **size, pl=planes), rgba, near=6), needs=needs)
    message = parts([jpeg, disc.tobytes()], **size, org="bottom", pl=[planes[0], plane("raw", "a", 3072, 3072)])
    yield Case("jpeg_bottom_up", frame(message, rgba[::-1].copy(), near=6), needs="jpeg")
    checked = parts([jpeg], **size, f="rgb8", crc=1, pl=[plane("jpeg", "rgb", 9216, len(jpeg))])
    yield Case("checksum_of_jpeg_is_not_checked", frame(checked, opaque, near=6), needs="jpeg")

    ring = ring_of({0: (2, picture().tobytes()), 1: (6, picture().tobytes()), 2: (5, bytes(60))})
    where = {"name": RING_NAME, "slot": 0, "seq": 2}
    yield Case("shm", frame(parts([b""], pl=[plane("shm", sent=0, **where)]), picture()), needs="shm", ring=ring)
    bgra = parts([b""], f="bgra8", pl=[plane("shm", sent=0, **where)])
    shown = upright(picture(), "bgra8", "srgb", "straight", "top")
    yield Case("shm_bgra8", frame(bgra, shown), needs="shm", ring=ring)
    for name, slot, sequence in (("written_anew", 1, 4), ("being_written", 2, 4)):
        overtaken = parts([b""], pl=[plane("shm", sent=0, **where | {"slot": slot, "seq": sequence})])
        yield Case(f"shm_{name}", (overtaken, {"result": "overtaken"}), good(id=8), needs="shm", ring=ring)
    for name, code, change in (
        ("no_such_slot", "shm", {"slot": 4}),
        ("no_such_ring", "shm", {"name": "/bunraku-is-not-there"}),
        ("path_for_a_name", "shm", {"name": "/../../etc/passwd"}),
    ):
        bad = parts([b""], pl=[plane("shm", sent=0, **where | change)])
        yield Case(f"shm_{name}", drop(code, bad), good(), needs="shm", ring=ring)
    large = parts([b""], w=32, h=32, pl=[plane("shm", decoded=4096, sent=0, **where)])
    yield Case("shm_larger_than_a_slot", drop("shm", large), good(), needs="shm", ring=ring)
    for name, head in (("magic", {"magic": b"BNRKRNG2"}), ("version", {"version": 2}), ("session", {"session": 1})):
        bad = drop("shm", parts([b""], pl=[plane("shm", sent=0, **where)]))
        hostile = ring_of({0: (2, picture().tobytes())}, **head)
        yield Case(f"shm_other_{name}", bad, good(), needs="shm", ring=hostile)


def ring_of(
    slots: dict[int, tuple[int, bytes]], *, magic: bytes = b"BNRKRNG1", version: int = 1, session: int = SESSION
) -> bytes:
    """A ring of four slots of 60 bytes."""
    ring = bytearray(PAGE * 5)
    struct.pack_into("<8sIIQQQ", ring, 0, magic, version, 4, 60, PAGE, session)
    for slot, (sequence, pixels) in slots.items():
        struct.pack_into("<Q", ring, 128 + 64 * slot, sequence)
        ring[PAGE * (1 + slot) : PAGE * (1 + slot) + len(pixels)] = pixels
    return bytes(ring)


def sequences() -> Iterator[Case]:
    """Several messages: numbers, sessions, heartbeats, byes, other streams, other versions."""
    beat = [TOPIC, msgpack.packb({"k": "h", "v": 1, "ses": SESSION, "id": 0})]
    full = [TOPIC, msgpack.packb(HEARTBEAT)]
    bye = [TOPIC, msgpack.packb({"k": "b", "v": 1, "ses": SESSION, "id": 7})]
    late = {"result": "late"}
    yield Case("heartbeat", (beat, {"result": "heartbeat", "state": "live"}))
    yield Case("heartbeat_with_everything", (full, {"result": "heartbeat", "state": "live"}))
    yield Case("bye", good(), (bye, {"result": "bye", "state": "lost"}))
    other = [TOPIC, msgpack.packb({"k": "b", "v": 1, "ses": 5, "id": 7})]
    yield Case("bye_of_an_older_session", good(), (other, {"result": "bye", "state": "live"}))
    yield Case("same_number_again", good(), (parts(), late), good(id=8))
    yield Case("number_going_back", good(id=9), (parts(id=8), late), good(id=2**40))
    yield Case("new_session_starts_anew", good(id=2**62), good(ses=3, id=1), (parts(ses=3, id=1), late))
    aki2 = parts(topic=b"avf1/aki2", id=100)
    yield Case("other_stream_is_left_alone", good(), (aki2, {"result": "ignored"}), good(id=8))
    avif = parts(topic=b"avf1.avif/aki", id=100)
    yield Case("unknown_variant_is_left_alone", good(), (avif, {"result": "ignored"}), good(id=8), topic="avf1")
    yield Case("minor_versions_do_not_matter", good(v=0), good(v=255, id=8))
    future = drop("version", [b"avf2/aki", b"anything"])
    future[1]["state"] = "incompatible"
    yield Case("other_major_version", future, good(), topic="avf")
    broken = [drop("msgpack", [TOPIC, b""]) for _ in range(30)]
    broken[-1][1]["state"] = "error"
    yield Case("thirty_broken_in_a_row", *broken)
    yield Case("twenty_nine_broken_in_a_row", *broken[:29], good())
    sizes = [(4, 4), (64, 2), (1, 1), (5, 3)]
    resized = []
    for number, (width, height) in enumerate(sizes, 1):
        pixels = picture(width, height)
        size = pixels.size
        changes = {"id": number, "w": width, "h": height, "pl": [plane("raw", "rgba", size, size)]}
        resized.append(frame(parts([pixels.tobytes()], **changes), pixels))
    yield Case("size_changes", *resized)


HEARTBEAT: dict[str, Any] = {
    "k": "h",
    "v": 1,
    "ses": SESSION,
    "id": 7,
    "n": 2**40,
    "ctl": "tcp://127.0.0.1:5761",
    "enc": ["raw", "lz4", "jpeg", "avif"],
    "off": 1_700_000_000_000_000_000,
    "prov": {"ai": True, "model": "sha256:ab", "generator": "kit", "source": "CC0-1.0"},
    "stats": {"provider": "synthetic", "fps": 59.94, "target_fps": 60.0, "dropped": 3, "motion_to_photon_ms": None},
    "more": [1, 2, 3],
}


def garbage() -> Iterator[Case]:
    """Each class of nonsense, and after it a good frame that must be shown."""
    pixels = picture().tobytes()
    deep: Any = []
    for _ in range(20):
        deep = [deep]
    nan = float("nan")
    rejected: dict[str, tuple[str, list[bytes]]] = {
        "one_part": ("parts", [TOPIC]),
        "frame_without_pixels": ("parts", parts([])),
        "frame_with_a_part_too_many": ("parts", parts([pixels, b""])),
        "nine_parts": ("parts", [TOPIC, *[b"\x80"] * 8]),
        "heartbeat_with_pixels": ("parts", [TOPIC, msgpack.packb(HEARTBEAT), b"x"]),
        "bye_with_a_part": ("parts", [TOPIC, msgpack.packb({"k": "b", "v": 1, "ses": 1, "id": 1}), b""]),
        "topic_with_a_space": ("topic", parts(topic=b"avf1/a b")),
        "topic_too_long": ("topic", parts(topic=b"avf1/" + b"x" * 60)),
        "topic_with_a_line_feed": ("topic", parts(topic=b"avf1/aki\n")),
        "header_too_long": ("header_size", [TOPIC, msgpack.packb(header(x="y" * 65536)), pixels]),
        "empty_header": ("msgpack", [TOPIC, b"", pixels]),
        "header_is_an_array": ("msgpack", [TOPIC, msgpack.packb([1, 2]), pixels]),
        "bytes_after_the_header": ("msgpack", [TOPIC, msgpack.packb(header()) + b"\x00", pixels]),
        "header_cut_off": ("msgpack", [TOPIC, msgpack.packb(header())[:-1], pixels]),
        "key_is_a_number": ("msgpack", [TOPIC, msgpack.packb(header() | {1: 2}), pixels]),
        "key_is_binary": ("msgpack", [TOPIC, msgpack.packb(header() | {b"x": 2}), pixels]),
        "inner_key_is_a_number": ("msgpack", [TOPIC, msgpack.packb(header(x={1: 2})), pixels]),
        "extension_type": ("msgpack", [TOPIC, msgpack.packb(header(x=msgpack.ExtType(5, b"x"))), pixels]),
        "extension_type_of_no_bytes": ("msgpack", [TOPIC, msgpack.packb(header(x=msgpack.ExtType(5, b""))), pixels]),
        "timestamp": ("msgpack", [TOPIC, msgpack.packb(header(x=msgpack.Timestamp(1, 2))), pixels]),
        "string_is_not_utf8": ("msgpack", [TOPIC, msgpack.packb(header(x="?")).replace(b"\xa1?", b"\xa1\xff"), pixels]),
        "reserved_byte": ("msgpack", [TOPIC, b"\xc1", pixels]),
        "bomb_array": ("msgpack", [TOPIC, b"\xdd\x0f\xff\xff\xff", pixels]),
        "bomb_map": ("msgpack", [TOPIC, b"\xdf\xff\xff\xff\xff", pixels]),
        "bomb_string": ("msgpack", [TOPIC, b"\x81\xa1k\xdb\xff\xff\xff\xff", pixels]),
        "bomb_depth": ("msgpack", [TOPIC, b"\x91" * 5000, pixels]),
        "too_deep": ("depth", parts(x=[[[[]]]])),
        "much_too_deep": ("depth", parts(x=deep)),
        "too_many_keys": ("keys", parts(**{f"x{n}": n for n in range(60)})),
        "unknown_kind": ("kind", parts(k="z")),
        "no_kind": ("kind", parts(k=...)),
        "kind_is_an_array": ("kind", parts(k=["f"])),
        "no_minor_version": ("header", parts(v=...)),
        "no_session": ("header", parts(ses=...)),
        "no_number": ("header", parts(id=...)),
        "number_below_zero": ("header", parts(id=-1)),
        "number_is_a_float": ("header", parts(id=1.0)),
        "number_is_a_boolean": ("header", parts(id=True)),
        "number_is_a_string": ("header", parts(id="2")),
        "minor_version_256": ("header", parts(v=256)),
        "width_zero": ("header", parts(w=0)),
        "height_8193": ("header", parts(h=8193)),
        "format_is_a_number": ("header", parts(f=4)),
        "planes_are_nil": ("header", parts(pl=None)),
        "plane_without_sizes": ("header", parts(pl=[{"e": "raw", "r": "rgba"}])),
        "plane_of_a_negative_size": ("header", parts(pl=[plane(decoded=-1)])),
        "time_beyond_64_bits": ("header", parts(tp=2**63)),
        "checksum_beyond_32_bits": ("header", parts(crc=2**32)),
        "provenance_of_another_type": ("header", parts(prov={"ai": 1})),
        "unknown_format": ("format", parts(f="yuv8")),
        "unknown_colour_space": ("format", parts(cs="p3")),
        "unknown_alpha": ("format", parts(am="maybe")),
        "unknown_origin": ("format", parts(org="left")),
        "unknown_encoding": ("encoding", parts(pl=[plane("gzip")])),
        "h264_is_reserved": ("encoding", parts(pl=[plane("h264")])),
        "jpeg_with_alpha": ("encoding", parts(pl=[plane("jpeg")])),
        "shm_beside_another_plane": (
            "encoding",
            parts(
                [b"", pixels[:15]],
                pl=[plane("shm", "rgb", 45, 0, name=RING_NAME, slot=0, seq=2), plane("raw", "a", 15, 15)],
            ),
        ),
        "no_planes": ("planes", parts([], pl=[])),
        "plane_twice": ("planes", parts([pixels, pixels], pl=[plane(), plane()])),
        "alpha_for_rgba": ("planes", parts([pixels[:15]], pl=[plane("raw", "a", 15, 15)])),
        "unknown_role": ("planes", parts(pl=[plane("raw", "depth")])),
        "planes_in_wrong_order": (
            "planes",
            parts([pixels[:15], pixels[:45]], pl=[plane("raw", "a", 15, 15), plane("raw", "rgb", 45, 45)]),
        ),
        "pixels_too_short": ("size", parts([pixels[:-1]])),
        "pixels_too_long": ("size", parts([pixels + b"\x00"])),
        "sizes_agree_with_each_other_only": ("size", parts([pixels + b"\x00"], pl=[plane(decoded=61, sent=61)])),
        "decoded_size_is_wrong": ("size", parts(pl=[plane(decoded=61)])),
        "sent_size_is_wrong": ("size", parts(pl=[plane(sent=59)])),
        "rows_shorter_than_the_picture": ("size", parts([pixels[:57]], st=19, pl=[plane(decoded=57, sent=57)])),
        "rows_of_2_to_the_63": ("size", parts(st=2**63)),
        "gigantic": ("size", parts([b""], w=8192, h=8192, pl=[plane(decoded=2**28, sent=2**28)])),
        "stride_with_two_planes": (
            "size",
            parts([pixels[:45], pixels[:15]], st=20, pl=[plane("raw", "rgb", 45, 45), plane("raw", "a", 15, 15)]),
        ),
        "checksum_is_wrong": ("crc", parts(crc=1)),
        "heartbeat_number_is_none": ("number", [TOPIC, msgpack.packb(HEARTBEAT | {"stats": {"fps": nan}})]),
        "heartbeat_without_session": ("header", [TOPIC, msgpack.packb({"k": "h", "v": 1, "id": 0})]),
    }
    for name, (code, message) in rejected.items():
        yield Case(f"bad_{name}", drop(code, message), good())
    packed = lz4(bytes(60))
    broken: dict[str, tuple[str, list[bytes], str]] = {
        "lz4_empty": ("decode", parts([b""], pl=[plane("lz4", sent=0)]), "lz4"),
        "lz4_nonsense": ("decode", parts([b"\xff" * 60], pl=[plane("lz4")]), "lz4"),
        "lz4_too_short": ("decode", parts([lz4(bytes(59))], pl=[plane("lz4", sent=len(lz4(bytes(59))))]), "lz4"),
        "lz4_too_long": ("decode", parts([lz4(bytes(61))], pl=[plane("lz4", sent=len(lz4(bytes(61))))]), "lz4"),
        "lz4_cut_off": ("size", parts([packed[:-1]], pl=[plane("lz4", sent=len(packed))]), "lz4"),
        "lz4_reaching_back_too_far": (
            "decode",
            parts([b"\x10a\x09\x00" + b"\x50aaaaa"], pl=[plane("lz4", sent=10)]),
            "lz4",
        ),
        "jpeg_nonsense": ("decode", parts([bytes(60)], f="rgb8", pl=[plane("jpeg", "rgb", 45, 60)]), "jpeg"),
        "jpeg_of_another_size": ("decode", jpeg_message(5, 3), "jpeg"),
        "jpeg_cut_off": ("decode", jpeg_message(64, 48, cut=200), "jpeg"),
    }
    for name, (code, message, needs) in broken.items():
        yield Case(f"bad_{name}", drop(code, message), good(), needs=needs)


def jpeg_message(width: int, height: int, *, cut: int = 0) -> list[bytes]:
    """The portrait announced with a size of its own, its last bytes cut off."""
    jpeg = (HERE / "portrait.jpg").read_bytes()
    jpeg = jpeg[: len(jpeg) - cut]
    return parts([jpeg], w=width, h=height, f="rgb8", pl=[plane("jpeg", "rgb", width * height * 3, len(jpeg))])


def elements() -> Iterator[Case]:
    """Few bytes may hold very many small things: they are counted, wherever they are."""

    def padded(total: int) -> list[bytes]:
        """A good frame with so many elements in all, in an unknown key."""
        own = len(header(x=[])) + 1 + len(plane())
        lengths = []
        left = total - own
        while left > 0:
            lengths.append(min(left - 1, 1000))
            left -= lengths[-1] + 1
        return parts(x=[[0] * length for length in lengths])

    yield Case("as_many_elements_as_can_be", frame(padded(4096), picture()))
    packed = msgpack.packb(header())
    # One pair more, a key x with 62,000 empty maps.
    maps = bytes([packed[0] + 1]) + packed[1:] + b"\xa1x\xdc\x03\xe8" + (b"\xdc\x00\x3d" + b"\x80" * 61) * 1000
    twice = bytes([packed[0] + 1]) + packed[1:] + b"\xa1x\xdc\x00\x20" + (b"\xde\x01\x00" + b"\xa1y\xc0" * 256) * 32
    for name, message in (
        ("one_element_too_many", padded(4097)),
        ("very_many_empty_maps", [TOPIC, maps, picture().tobytes()]),
        ("one_key_very_many_times", [TOPIC, twice, picture().tobytes()]),
    ):
        yield Case(f"bad_{name}", drop("msgpack", message), good())


GROUPS: tuple[tuple[int, Callable[[], Iterator[Case]]], ...] = (
    (0, pictures),
    (100, encodings),
    (200, sequences),
    (300, garbage),
    (400, elements),
)


def write_cases(folder: Path) -> None:
    """Write a folder per case."""
    for first, group in GROUPS:
        for number, case in enumerate(group(), first):
            place = folder / f"{number:03d}_{case.name}"
            place.mkdir(parents=True)
            lines = [f"topic={case.topic}", *([f"needs={case.needs}"] if case.needs else [])]
            if case.ring:
                (place / "ring.bin").write_bytes(case.ring)
                lines.append(f"ring={RING_NAME}")
            for index, (message, expected) in enumerate(case.messages):
                for number_of_part, part in enumerate(message):
                    (place / f"{index}.{number_of_part}.bin").write_bytes(part)
                for key, value in expected.items():
                    if isinstance(value, np.ndarray):
                        (place / f"{index}.rgba.bin").write_bytes(value.tobytes())
                    else:
                        lines.append(f"{index}.{key}={value}")
            (place / "expect.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


SIZES = {"uint32_t": 4, "int32_t": 4, "uint64_t": 8, "int64_t": 8, "float": 4, "double": 8, "char": 1}


def write_abi(path: Path) -> None:
    """Offsets and sizes of the C header's structs, by the rule of all 64-bit systems: every member by its own size."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = text.replace("BUNRAKU_NAME_BYTES]", "64]")
    lines = []
    for body, name in re.findall(r"typedef struct bunraku_\w+ \{(.*?)\} (bunraku_\w+);", text, re.DOTALL):
        offset = widest = 0
        for kind, star, member, count in re.findall(
            r"(?:const )?(\w+) (\*?)(\w+)(?:\[(\d+)\])?;", body.replace("uint8_t", "char")
        ):
            size = 8 if star or kind not in SIZES else SIZES[kind]
            widest = max(widest, size)
            offset += -offset % size
            total = size * int(count or 1)
            lines.append(f"{name}.{member}={offset},{total}")
            offset += total
        lines.append(f"{name}={offset + -offset % widest}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


LINES = (
    "[happy] Hello, traveller! [relaxed] The road to the old mill is quiet today. [surprised] Oh! Is that a map?",
    "",
    "mmm",
    "Why? [angry]No![]",
    "tschüß, 42 [unclosed",
    "AEIOUY aeiouy\tb\np",
)
VOWELS = {"a": "aa", "e": "ee", "i": "ih", "o": "oh", "u": "ou", "y": "ih"}
PAUSES = {" ": 40, "\t": 40, "\n": 40, ",": 220, ";": 220, ":": 220, ".": 380, "!": 380, "?": 380}
VISEMES = ("aa", "ih", "ou", "ee", "oh")


def timeline(text: str) -> tuple[list[tuple[float, float, str, float]], list[tuple[float, str]], float]:
    """Segments (begin, end, viseme, weight) in ms, marks (time, expression), and the length."""
    segments, marks, now, vowel = [], [], 0.0, ""
    data = text.encode()
    at = 0
    while at < len(data):
        letter = chr(data[at]).lower() if data[at] < 128 else ""
        at += 1
        if letter == "[" and b"]" in data[at:]:
            end = data.index(b"]", at)
            marks.append((now, data[at:end].decode()))
            at = end + 1
            continue
        if letter in VOWELS:
            vowel = VOWELS[letter]
            lasts, viseme, weight = 90, vowel, 1.0
        elif letter and letter in "mbp":
            lasts, viseme, weight = 70, "", 0.0
        elif letter.isalpha():
            lasts, viseme, weight = 60, vowel, 0.4
        else:
            lasts, viseme, weight = PAUSES.get(letter, 0), "", 0.0
        if viseme:
            segments.append((now, now + lasts, viseme, weight))
        now += lasts
    return segments, marks, now


def write_speech(path: Path) -> None:
    """Write what the mouth does, at times through each line and beyond its end."""
    lines = []
    for text in LINES:
        segments, marks, length = timeline(text)
        lines.append("text=" + text.replace("\t", "\\t").replace("\n", "\\n"))
        for time in [*range(0, int(length) + 120, 37), int(length) + 39, int(length) + 41]:
            weights = dict.fromkeys(VISEMES, 0.0)
            for begin, end, viseme, weight in segments:
                weights[viseme] += weight * max(0.0, min(end, time + 40) - max(begin, time - 40)) / 80
            said = [name for begin, name in marks if begin <= time]
            expression = (said[-1] or "~") if said else "-"
            if time > length + 40:
                expression = "~"
            lines.append(" ".join([str(time), *(f"{weights[viseme]:.4f}" for viseme in VISEMES), expression]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


VERBS = """
case=a control is held and released
sent=no
do=hold jawOpen 0.5
sent=yes
sent=no
do=hold jawOpen 0.5
sent=no
do=hold jawOpen 0.25
do=hold headYaw -12.5
sent=yes
do=release jawOpen
sent=yes
do=release jawOpen
sent=no
do=hold jawOpen 0
sent=yes
case=changes that are taken back are sent all the same
do=hold jawOpen 0.5
do=release jawOpen
sent=yes
case=releasing all leaves who and how
do=hold jawOpen 0.5
do=hold headYaw 10
do=become Aki
do=mix Ren 0.25
do=truncate 0.75
do=express happy
sent=yes
do=release_all
sent=yes
do=release_all
sent=no
case=a name and a seed replace each other
do=become Aki
sent=yes
do=become Aki
sent=no
do=become_seed 0
sent=yes
do=become_seed 9007199254740991
sent=yes
do=become Ren
sent=yes
do=leave_identity
sent=yes
do=leave_identity
sent=no
case=a mix is ended by an amount of 0
do=end_mix
sent=no
do=mix Ren 0.25
sent=yes
do=mix Ren 0.75
sent=yes
do=mix Ren 0.75
sent=no
do=mix_seed 7 0.75
sent=yes
do=end_mix
sent=yes
do=end_mix
sent=no
do=hold jawOpen 1
sent=yes
do=mix Aki 1
sent=yes
do=mix Aki 0
sent=yes
case=truncation is set and left
do=truncate 0
sent=yes
do=truncate 0.5
sent=yes
do=truncate 0.5
sent=no
do=truncate 1
sent=yes
do=leave_truncation
sent=yes
do=leave_truncation
sent=no
case=an expression is faded to, faded out and left
do=express happy
sent=yes
do=express happy
sent=no
do=express ~
sent=yes
do=express ~
sent=no
do=leave_expression
sent=yes
do=leave_expression
sent=no
case=a calibration is part of one state
do=calibrate
do=calibrate
sent=yes
sent=no
do=hold jawOpen 0.5
sent=yes
do=calibrate
sent=yes
case=what cannot be sent changes nothing
do=hold jawOpen 0.5
sent=yes
refuse=hold jawOpen nan
refuse=hold headYaw inf
refuse=hold headYaw -inf
refuse=hold ~ 0.5
refuse=become ~
refuse=become_seed -1
refuse=mix ~ 0.5
refuse=mix Ren nan
refuse=mix Ren -0.25
refuse=mix Ren 1.5
refuse=mix_seed -1 0.5
refuse=mix_seed 7 inf
refuse=truncate nan
refuse=truncate -0.5
refuse=truncate 1.5
sent=no
do=hold headYaw 0
sent=yes
"""


class Wants:
    """What a client wants: the entries of a `set`, changed by verbs as the table in docs/protocol.md reads."""

    def __init__(self) -> None:
        self.controls: dict[str, float] = {}
        self.others: dict[str, str] = {}

    def do(self, verb: str, words: list[str]) -> None:
        """Obey a verb."""
        name = words[0].replace("~", "") if words else ""
        amount = float(words[-1]) if verb in ("hold", "mix", "mix_seed", "truncate") else 0.0
        match verb:
            case "hold":
                self.controls[name] = amount
            case "release":
                self.controls.pop(name, None)
            case "release_all":
                self.controls.clear()
            case "become" | "become_seed":
                self.others["who"] = f"{'seed' if verb == 'become_seed' else 'name'} {name}"
            case "mix" | "mix_seed":
                self.others["mix"] = f"{'seed' if verb == 'mix_seed' else 'name'} {name} {amount:.4f}"
            case "end_mix":
                if "mix" in self.others:
                    self.others["mix"] = self.others["mix"].rpartition(" ")[0] + " 0.0000"
            case "truncate":
                self.others["psi"] = f"{amount:.4f}"
            case "express":
                self.others["emo"] = name
            case "calibrate":
                self.others["cal"] = "yes"
            case _:  # leave_identity and the like
                self.others.pop({"identity": "who", "truncation": "psi", "expression": "emo"}[verb[6:]], None)

    def lines(self) -> list[str]:
        """The state in lines of `key=value`."""
        held = [f"ex.{name}={value:.4f}" for name, value in sorted(self.controls.items())]
        return held + [f"{key}={self.others[key]}" for key in ("who", "mix", "psi", "emo", "cal") if key in self.others]


def write_verbs(path: Path) -> None:
    """Write what is sent after each group of verbs; the script above says when something is."""
    full = [f"do=hold control{number:03d} 0.5" for number in range(256)]
    most = ["case=as many controls as can be", *full, "sent=yes", "refuse=hold oneTooMany 0.5", "sent=no"]
    most += ["do=hold control007 0.25", "do=release control000", "do=hold another 1", "sent=yes"]
    lines, wants = list[str](), Wants()
    for line in [*VERBS.split("\n"), *most]:
        key, _, value = line.partition("=")
        lines += [line] if line else []
        if key == "case":
            wants = Wants()
        elif key == "do":
            verb, *words = value.split(" ")
            wants.do(verb, words)
        elif line == "sent=yes":
            lines += wants.lines()
            wants.others.pop("cal", None)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def write_transcript(path: Path) -> None:
    """A moving test card of 48x48 pixels, 20 frames at 60 a second, with heartbeats and a bye."""
    records = [(0, [TOPIC, msgpack.packb(HEARTBEAT | {"enc": ["raw"], "id": 0})])]
    for number in range(1, 21):
        pixels = test_card(number)
        keys = header(id=number, w=48, h=48, pl=[plane("raw", "rgba", pixels.size, pixels.size)])
        records.append((number * 16_666_667, [TOPIC, msgpack.packb(keys), pixels.tobytes()]))
    records.append((400_000_000, [TOPIC, msgpack.packb({"k": "b", "v": 1, "ses": SESSION, "id": 20})]))
    packed = bytearray(b"AVR1")
    for time, message in records:
        packed += struct.pack("<QB", time, len(message))
        packed += struct.pack(f"<{len(message)}I", *map(len, message)) + b"".join(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)


def test_card(number: int) -> Rows:
    """Ramps in red and green, a bar that moves through blue, and a disc of alpha."""
    y, x = np.mgrid[0:48, 0:48]
    alpha = np.clip(255 - 24 * (np.hypot(x - 23.5, y - 23.5) - 16), 0, 255)
    bar = np.where((x - number * 2) % 48 < 6, 255, 40)
    return np.stack([x * 5, y * 5, bar, alpha], -1).astype(np.uint8)


def main(folder: Path) -> None:
    """Write the whole kit."""
    write_cases(folder / "cases")
    write_abi(folder / "abi.txt")
    write_speech(folder / "speech.txt")
    write_verbs(folder / "verbs.txt")
    write_transcript(folder / "transcripts" / "test_card.avr")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
