"""Size of a WebP picture, read before any decoder allocates memory for it."""

from __future__ import annotations

from typing import Final

_ANIMATED: Final = 0x02  # a flag of the first chunk


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the first chunk; None if this is not a still WebP picture.

    The three forms of that chunk: RFC 9649, sections 2.5 to 2.7.
    """
    head = data[:30]
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X" and not head[20] & _ANIMATED:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(head[place : place + 2], "little") & 0x3FFF for place in (26, 28))
        return width, height
    return None
