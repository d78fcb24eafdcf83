"""Pixel transport: raw, LZ4, JPEG with LZ4 alpha, or shared memory.

Encoders take Bunraku's own format (RGBA8, row 0 on top, sRGB-encoded, straight alpha); decoders take every format of
`docs/protocol.md` and check each length before allocating memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import lz4.block
import msgspec
import numpy as np
import simplejpeg

from engine_bridge.errors import MessageRejected
from engine_bridge.frame import Pixels

from .ring import RingCache, RingWriter

Part: TypeAlias = "bytes | memoryview"

RAW: Final = "raw"
VARIANTS: Final = (RAW, "lz4", "jpeg", "shm")  # in the order in which producers announce them
DEFAULT_JPEG_QUALITY: Final = 85
MAX_PICTURE_BYTES: Final = 64 * 1024 * 1024

_WHOLE_ROLES: Final = {"rgba8": "rgba", "bgra8": "rgba", "rgb8": "rgb", "a8": "a"}
_ENCODINGS_OF_ROLE: Final = {
    "rgba": ("raw", "lz4", "shm"),
    "rgb": ("raw", "lz4", "jpeg", "shm"),
    "a": ("raw", "lz4", "shm"),
}
_LZ4_SPEED: Final = 4  # LZ4 acceleration: 0.84 instead of 1.07 ms at 512x512 for a tenth more bytes

Unsigned = Annotated[int, msgspec.Meta(ge=0)]


class Plane(msgspec.Struct, frozen=True):
    """One payload part: encoding, role, decoded size and size on the wire; in shared memory also its place."""

    e: str
    r: str
    n: Unsigned
    z: Unsigned
    name: str = ""
    slot: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    seq: Unsigned = 0


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A picture encoded for transport.

    Attributes:
        planes: header entry of each part.
        parts: the payload, in the same order.
    """

    planes: list[dict[str, Any]]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Picture:
    """Picture fields of a header.

    Attributes:
        width: in pixels.
        height: in pixels.
        pixel_format: `rgba8`, `bgra8`, `rgb8` or `a8`.
        stride: bytes per row of a single plane, None for no gap between rows.
        crc: CRC-32 of the first plane as decoded, None to skip the check.
        session: of the frame; a shared-memory ring must have the same.
    """

    width: int
    height: int
    pixel_format: str
    stride: int | None = None
    crc: int | None = None
    session: int = 0


def encode_raw(pixels: Pixels) -> EncodedPicture:
    """Encode without compression; the part is the caller's own memory if that is contiguous."""
    return EncodedPicture([_plane("raw", "rgba", pixels.nbytes, pixels.nbytes)], [_flat(pixels)])


def encode_lz4(pixels: Pixels) -> EncodedPicture:
    """Compress without loss."""
    packed = _lz4(pixels)
    return EncodedPicture([_plane("lz4", "rgba", pixels.nbytes, len(packed))], [packed])


def encode_jpeg(pixels: Pixels, quality: int) -> EncodedPicture:
    """Compress colour with loss, alpha without.

    Args:
        pixels: uint8 [H, W, 4], straight alpha.
        quality: 1 to 100, of the JPEG.
    """
    height, width = pixels.shape[:2]
    # The encoder ignores the fourth channel, so no separate pass extracts the colours.
    colour = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=quality, colorspace="RGBX", colorsubsampling="420"
    )
    alpha = _lz4(pixels[..., 3])
    return EncodedPicture(
        [_plane("jpeg", "rgb", width * height * 3, len(colour)), _plane("lz4", "a", width * height, len(alpha))],
        [colour, alpha],
    )


def encode_shared(pixels: Pixels, ring: RingWriter) -> EncodedPicture:
    """Write the picture to shared memory and describe where."""
    slot, sequence = ring.write(_flat(pixels))
    where = {"name": ring.name, "slot": slot, "seq": sequence}
    return EncodedPicture([_plane("shm", "rgba", pixels.nbytes, 0) | where], [b""])


def decode_planes(
    picture: Picture, planes: Sequence[Plane], payload: Sequence[Part], rings: RingCache | None
) -> Pixels:
    """Decode the planes of a picture.

    Args:
        picture: its size and format, checked.
        planes: from the header.
        payload: the parts as received.
        rings: for reading pixels in shared memory; None rejects them.

    Returns:
        uint8 [H, W, bytes per pixel], any row stride, in the picture's format. A raw plane shares the part's memory.

    Raises:
        MessageRejected: `planes`, `encoding`, `parts`, `size`, `decode`, `shm` or `crc`.
        FrameOvertaken: the slot in shared memory was overwritten.
    """
    for plane in planes:
        if plane.r not in _ENCODINGS_OF_ROLE:
            raise MessageRejected("planes", f"unknown role of a plane: {plane.r[:32]!r}")
        if plane.e not in _ENCODINGS_OF_ROLE[plane.r] or (plane.e == "shm" and len(planes) > 1):
            raise MessageRejected("encoding", f"{plane.e[:32]!r} is not an encoding of the plane {plane.r}")
    roles = [plane.r for plane in planes]
    whole = roles == [_WHOLE_ROLES[picture.pixel_format]]
    if not whole and not (picture.pixel_format == "rgba8" and roles == ["rgb", "a"]):
        raise MessageRejected("planes", f"{picture.pixel_format} cannot be sent as the planes {', '.join(roles)[:64]}")
    if len(payload) != len(planes):
        raise MessageRejected("parts", f"{len(payload)} payload parts for {len(planes)} planes")
    if picture.stride is not None and (not whole or planes[0].e == "jpeg"):
        raise MessageRejected("size", "a stride where rows have no gap")
    if whole:
        return _decode_plane(picture, planes[0], payload[0], rings, picture.crc)
    rgba = np.empty((picture.height, picture.width, 4), np.uint8)
    rgba[..., :3] = _decode_plane(picture, planes[0], payload[0], rings, picture.crc)
    rgba[..., 3:] = _decode_plane(picture, planes[1], payload[1], rings, None)
    return rgba


def _decode_plane(picture: Picture, plane: Plane, part: Part, rings: RingCache | None, crc: int | None) -> Pixels:
    channels = len(plane.r)
    width_bytes = picture.width * channels
    stride = width_bytes if picture.stride is None else picture.stride
    needed = stride * picture.height
    sent = 0 if plane.e == "shm" else len(part)
    if stride < width_bytes or needed != plane.n or plane.z != sent or len(part) != sent:
        raise MessageRejected(
            "size",
            f"{picture.width}x{picture.height} {plane.r} with {stride} bytes a row needs {needed} bytes; "
            f"announced are {plane.n}, on the wire {plane.z}, arrived {len(part)}",
        )
    if plane.n > MAX_PICTURE_BYTES:
        raise MessageRejected("size", f"{plane.n} bytes, the limit is {MAX_PICTURE_BYTES}")
    if plane.e == "raw":
        if plane.z != plane.n:
            raise MessageRejected("size", f"a raw plane of {plane.n} bytes with {plane.z} on the wire")
        rows = np.frombuffer(part, np.uint8)
    elif plane.e == "lz4":
        rows = _unlz4(part, plane.n)
    elif plane.e == "jpeg":
        return _unjpeg(part, picture)
    else:
        if rings is None:
            raise MessageRejected("encoding", "this reader does not support shared memory")
        ring = rings.open(plane.name)
        if ring.session != picture.session:
            raise MessageRejected("shm", f"the ring {plane.name} belongs to another session")
        rows = ring.copy(plane.slot, plane.seq, plane.n)
    if crc is not None and zlib.crc32(rows.data) != crc:
        raise MessageRejected("crc", "the pixels do not match their checksum")
    return rows.reshape(picture.height, stride)[:, :width_bytes].reshape(picture.height, picture.width, channels)


def _unlz4(part: Part, size: int) -> Pixels:
    try:
        data = lz4.block.decompress(part, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
        raise MessageRejected("decode", f"broken LZ4: {error}") from error
    if len(data) != size:
        raise MessageRejected("decode", f"LZ4 of {len(data)} bytes where {size} were announced")
    return np.frombuffer(data, np.uint8)


def _unjpeg(part: Part, picture: Picture) -> Pixels:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(part)
        if (width, height) != (picture.width, picture.height) or colours != "YCbCr":
            raise MessageRejected(
                "decode", f"a JPEG of {width}x{height} in {colours} for {picture.width}x{picture.height}"
            )
        pixels: Pixels = simplejpeg.decode_jpeg(part, colorspace="RGB")
    except ValueError as error:
        raise MessageRejected("decode", f"broken JPEG: {error}") from error
    return pixels


def _plane(encoding: str, role: str, decoded: int, sent: int) -> dict[str, Any]:
    return {"e": encoding, "r": role, "n": decoded, "z": sent}


def _lz4(pixels: Pixels) -> bytes:
    packed: bytes = lz4.block.compress(
        np.ascontiguousarray(pixels), mode="fast", acceleration=_LZ4_SPEED, store_size=False
    )
    return packed


def _flat(pixels: Pixels) -> memoryview:
    return np.ascontiguousarray(pixels).reshape(-1).data
