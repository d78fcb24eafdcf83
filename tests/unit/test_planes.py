"""Every encoding restores the picture; anything undecodable is rejected."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_bridge.avf.planes import (
    EncodedPicture,
    Part,
    Picture,
    Plane,
    decode_planes,
    encode_jpeg,
    encode_lz4,
    encode_raw,
    encode_shared,
)
from engine_bridge.avf.ring import RingCache, RingWriter
from engine_bridge.errors import MessageRejected
from engine_bridge.frame import Pixels


def smooth_picture(width: int, height: int) -> Pixels:
    """Soft colours under a disc of alpha, like in a character."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rgba = np.empty((height, width, 4), np.uint8)
    rgba[..., 0] = 40 + 180 * x / max(width - 1, 1)
    rgba[..., 1] = 220 - 160 * y / max(height - 1, 1)
    rgba[..., 2] = 128
    rgba[..., 3] = np.clip(255 - 6 * (np.hypot(x - width / 2, y - height / 2) - min(width, height) / 3), 0, 255)
    return rgba


def decoded(encoded: EncodedPicture, picture: Picture, rings: RingCache | None = None) -> Pixels:
    planes = msgspec.convert(encoded.planes, list[Plane])
    return decode_planes(picture, planes, encoded.parts, rings)


def picture_of(pixels: Pixels, crc: int | None = None) -> Picture:
    return Picture(pixels.shape[1], pixels.shape[0], "rgba8", crc=crc)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (64, 64), (255, 129)])
def test_lossless_encodings_give_every_byte_back(width: int, height: int) -> None:
    pixels = smooth_picture(width, height)
    crc = zlib.crc32(pixels.tobytes())
    for encoded in (encode_raw(pixels), encode_lz4(pixels)):
        assert np.array_equal(decoded(encoded, picture_of(pixels, crc)), pixels)
        with pytest.raises(MessageRejected, match="checksum"):
            decoded(encoded, picture_of(pixels, crc ^ 1))


def test_jpeg_keeps_alpha_exactly_and_colour_nearly() -> None:
    pixels = smooth_picture(129, 65)
    came = decoded(encode_jpeg(pixels, 90), picture_of(pixels))
    assert np.array_equal(came[..., 3], pixels[..., 3])
    assert np.abs(came[..., :3].astype(int) - pixels[..., :3]).max() <= 8
    small = encode_jpeg(smooth_picture(512, 512), 85)
    assert sum(len(part) for part in small.parts) < 512 * 512 * 4 / 15


def test_better_quality_is_nearer_and_longer() -> None:
    pixels = smooth_picture(128, 128)
    pixels[..., :3] ^= np.random.default_rng(5).integers(0, 32, (128, 128, 3), np.uint8)
    coarse, fine = encode_jpeg(pixels, 30), encode_jpeg(pixels, 95)
    assert len(coarse.parts[0]) < len(fine.parts[0])
    errors = [np.abs(decoded(e, picture_of(pixels)).astype(int) - pixels).mean() for e in (coarse, fine)]
    assert errors[1] < errors[0]


def test_picture_in_shared_memory_comes_back() -> None:
    pixels = smooth_picture(40, 30)
    ring = RingWriter(pixels.nbytes, session=0)
    try:
        with RingCache() as rings:
            assert np.array_equal(decoded(encode_shared(pixels, ring), picture_of(pixels), rings), pixels)
        with pytest.raises(MessageRejected, match="not support shared memory"):
            decoded(encode_shared(pixels, ring), picture_of(pixels))
    finally:
        ring.close()


def code_of(parts: Sequence[Part], picture: Picture, **plane: int | str) -> str:
    with pytest.raises(MessageRejected) as caught:
        decode_planes(picture, [msgspec.convert(plane, Plane)], parts, RingCache())
    return caught.value.code


def test_announced_size_is_never_trusted() -> None:
    pixels = smooth_picture(16, 16)
    packed = bytes(encode_lz4(pixels).parts[0])
    good = {"e": "lz4", "r": "rgba", "n": 1024, "z": len(packed)}
    assert code_of([packed], Picture(16, 15, "rgba8"), **good | {"n": 960}) == "decode"
    assert code_of([packed], Picture(16, 17, "rgba8"), **good | {"n": 1088}) == "decode"
    assert code_of([packed], Picture(16, 16, "rgba8"), **good | {"n": 1023}) == "size"
    assert code_of([packed[:-1]], Picture(16, 16, "rgba8"), **good) == "size"
    assert code_of([packed], Picture(8192, 8192, "rgba8"), **good | {"n": 2**28}) == "size"


def test_jpeg_of_another_size_or_kind_is_rejected() -> None:
    import simplejpeg

    pixels = smooth_picture(16, 16)
    jpeg = bytes(encode_jpeg(pixels, 85).parts[0])
    assert code_of([jpeg], Picture(16, 8, "rgb8"), e="jpeg", r="rgb", n=384, z=len(jpeg)) == "decode"
    grey = simplejpeg.encode_jpeg(pixels[..., :1].copy(), colorspace="GRAY", colorsubsampling="Gray")
    assert code_of([grey], Picture(16, 16, "rgb8"), e="jpeg", r="rgb", n=768, z=len(grey)) == "decode"
    cut = jpeg[:-40]
    assert code_of([cut], Picture(16, 16, "rgb8"), e="jpeg", r="rgb", n=768, z=len(cut)) == "decode"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_planes_are_read_or_rejected(data: st.DataObject) -> None:
    pixels = smooth_picture(17, 9)
    encoded = data.draw(st.sampled_from([encode_lz4(pixels), encode_jpeg(pixels, 85)]))
    parts = [bytearray(part) for part in encoded.parts]
    which = data.draw(st.integers(0, len(parts) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        parts[which][data.draw(st.integers(0, len(parts[which]) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MessageRejected):
        came = decoded(EncodedPicture(encoded.planes, [bytes(part) for part in parts]), picture_of(pixels))
        assert came.shape == pixels.shape
