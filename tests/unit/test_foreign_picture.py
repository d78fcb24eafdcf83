"""Pictures from other programs: read like viewers show them, or refused with the reason."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from training.data.foreign_picture import MAX_PIXELS, read_picture
from training.errors import DatasetError

Pixels = npt.NDArray[np.uint8]


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def read(folder: Path, data: bytes, *, opaque: bool = False, name: str = "a.png") -> tuple[Pixels, list[str]]:
    path = folder / name
    path.write_bytes(data)
    picture, notes = read_picture(path, opaque=opaque)
    assert picture.mode == "RGBA"
    return np.asarray(picture), notes


def png(width: int, depth: int, kind: int, row: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row, following the specification."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    parts = [chunk(*each) for each in chunks]
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", header, *parts, chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    )


CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))  # top left, top right, bottom left, bottom right
# How a viewer transforms the stored picture, by the EXIF specification.
TURNS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_comes_upright(tmp_path: Path, form: str, orientation: int) -> None:
    stored = np.array(CORNERS, np.uint8).reshape(2, 2, 3).repeat(16, 0).repeat(16, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if form == "WEBP" else {}
    got, notes = read(tmp_path, encoded(Image.fromarray(stored), form, exif=exif, **lossless), opaque=True)
    assert np.abs(got[..., :3].astype(int)[4::24, 4::24] - TURNS[orientation](stored)[4::24, 4::24]).max() < 12
    assert notes == (["is turned as its EXIF orientation says"] if orientation > 1 else [])


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_does_not_exist_is_ignored(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert read(tmp_path, encoded(Image.new("RGBA", (4, 4), "red"), "PNG", exif=exif))[1] == []


def keyed() -> Pixels:
    """Red on the left, green on the right."""
    return np.array([[(255, 0, 0), (0, 255, 0)]], np.uint8).repeat(4, 0).repeat(2, 1)


def test_transparency_counts_in_whatever_form(tmp_path: Path) -> None:
    colour = Image.fromarray(keyed())
    palette = colour.quantize(4)
    left = palette.getpixel((0, 0))
    for data in (
        encoded(palette, "PNG", transparency=left),
        encoded(palette, "PNG", transparency=bytes(0 if index == left else 255 for index in range(4))),
        encoded(palette, "GIF", transparency=left),
        encoded(colour, "PNG", transparency=(255, 0, 0)),
    ):
        got, notes = read(tmp_path, data)
        assert got[0].tolist() == [[255, 0, 0, 0]] * 2 + [[0, 255, 0, 255]] * 2
        assert notes == []
    half = bytes(128 if index == left else 255 for index in range(4))
    assert read(tmp_path, encoded(palette, "PNG", transparency=half))[0][0, :, 3].tolist() == [128, 128, 255, 255]
    grey_alpha = Image.merge("LA", (Image.new("L", (2, 2), 90), Image.new("L", (2, 2), 30)))
    assert read(tmp_path, encoded(grey_alpha, "PNG"))[0][0, 0].tolist() == [90, 90, 90, 30]


@pytest.mark.parametrize(
    ("depth", "row", "key", "grey"),
    [
        (1, b"\x40", 1, [0, 255]),
        (2, b"\x30", 3, [0, 255]),
        (2, b"\x60", 2, [85, 170]),
        (4, b"\x3a", 10, [51, 170]),
        (8, b"\x03\xff", 255, [3, 255]),
        (16, b"\x12\x34\xff\xff", 65535, [18, 255]),
        (16, b"\xff\xfe\xff\xff", 65535, [255, 255]),
    ],
)
def test_a_grey_key_counts_at_every_depth(tmp_path: Path, depth: int, row: bytes, key: int, grey: list[int]) -> None:
    got, _ = read(tmp_path, png(2, depth, 0, row, (b"tRNS", struct.pack(">H", key))))
    assert got[0, :, 0].tolist() == grey
    assert got[0, :, 3].tolist() == [255, 0]


def test_sixteen_bits_are_rounded_and_not_clipped(tmp_path: Path) -> None:
    got, notes = read(tmp_path, png(3, 16, 0, struct.pack(">HHH", 0, 0x8000, 0xFFFF)), opaque=True)
    assert got[0, :, 0].tolist() == [0, 128, 255]
    assert notes == ["has 16 bits per channel and is rounded to 8"]
    got, _ = read(tmp_path, png(1, 16, 6, struct.pack(">HHHH", 0x1234, 0x8000, 0xFFFF, 0x4000)))
    assert got[0, 0].tolist() == [0x12, 0x80, 0xFF, 0x40]
    with pytest.raises(DatasetError, match="transparent colour of 16 bits"):
        read(tmp_path, png(1, 16, 2, b"\xff" * 6, (b"tRNS", b"\xff" * 6)))
    deep = Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16))
    assert read(tmp_path, encoded(deep, "TIFF"), opaque=True)[0][0, :, 0].tolist() == [0, 128, 255]


def test_pixels_without_a_fixed_range_are_refused(tmp_path: Path) -> None:
    for values in (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int32)):
        with pytest.raises(DatasetError, match=r"(floating point|32-bit integers).*Save it as PNG"):
            read(tmp_path, encoded(Image.fromarray(values), "TIFF"), opaque=True)
    with pytest.raises(DatasetError, match="pixels of the kind LAB"):
        read(tmp_path, encoded(Image.new("LAB", (2, 2)), "TIFF"), opaque=True)
    with pytest.raises(DatasetError, match=r"does not call it alpha|kind RGBX"):
        read(tmp_path, encoded(Image.new("RGBX", (2, 2)), "TIFF"), opaque=True)
    white_first = encoded(Image.fromarray(np.zeros((2, 2), np.uint16)), "TIFF", tiffinfo={262: 0})
    with pytest.raises(DatasetError, match="counts from white"):
        read(tmp_path, white_first, opaque=True)


def test_one_bit_and_video_colours_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, png(2, 1, 0, b"\x40"), opaque=True)[0][0, :, 0].tolist() == [0, 255]
    got, _ = read(tmp_path, encoded(Image.new("YCbCr", (8, 8), (76, 85, 255)), "JPEG"), opaque=True)
    assert np.abs(got[0, 0, :3].astype(int) - (254, 0, 0)).max() < 4


def test_cmyk_is_read_the_right_way_round_and_told(tmp_path: Path) -> None:
    got, notes = read(tmp_path, encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), opaque=True)
    assert np.abs(got[0, 0, :3].astype(int) - (255, 0, 0)).max() < 6
    assert notes == ["is in CMYK without a profile, so its colours are a guess"]


def profile(space: bytes, curve: bytes, columns: dict[bytes, tuple[float, float, float]]) -> bytes:
    """A small ICC profile: white of D50, one curve, and the primaries' columns."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"Test profile"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249),
    }
    for name in (b"rTRC", b"gTRC", b"bTRC") if columns else (b"kTRC",):
        tags[name] = curve
    for name, column in columns.items():
        tags[name] = b"XYZ \0\0\0\0" + fixed(*column)
    table, body, place = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", place + len(body), len(data))
        body += padded
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ") + bytes(12)
    head += b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    return head[:128] + struct.pack(">I", len(tags)) + table + body


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


DISPLAY_P3 = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
P3 = profile(b"RGB ", gamma_curve(2.2), DISPLAY_P3)


def to_srgb(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("colour", [(200, 100, 90), (40, 180, 60), (128, 128, 128), (250, 20, 20)])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_a_wide_gamut_becomes_srgb(tmp_path: Path, form: str, colour: tuple[int, int, int]) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    data = encoded(Image.new("RGB", (8, 8), colour), form, icc_profile=P3, **options)
    got, notes = read(tmp_path, data, opaque=True)
    columns = np.array([DISPLAY_P3[name] for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
    linear = np.linalg.solve(SRGB, columns @ (np.array(colour) / 255) ** 2.2)
    assert np.abs(got[0, 0, :3] - to_srgb(linear)).max() < 4
    assert notes == ['is converted from its colour profile "Test profile" to sRGB']


def test_alpha_and_palettes_survive_a_profile(tmp_path: Path) -> None:
    cut = Image.new("RGBA", (4, 4), (200, 100, 90, 77))
    assert read(tmp_path, encoded(cut, "PNG", icc_profile=P3))[0][0, 0, 3] == 77
    plain, _ = read(tmp_path, encoded(cut.convert("RGB"), "PNG", icc_profile=P3), opaque=True)
    palette, notes = read(tmp_path, encoded(cut.convert("RGB").quantize(2), "PNG", icc_profile=P3), opaque=True)
    assert palette.tolist() == plain.tolist()
    assert len(notes) == 1


def test_grey_has_profiles_too(tmp_path: Path) -> None:
    grey = Image.new("L", (4, 4), 100)
    got, notes = read(tmp_path, encoded(grey, "PNG", icc_profile=profile(b"GRAY", gamma_curve(1.0), {})), opaque=True)
    assert abs(got[0, 0, 0] - to_srgb(np.array(100 / 255))) < 3
    assert len(notes) == 1


def test_srgb_itself_changes_no_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (32, 32, 4), np.uint8)
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for options in ({}, {"icc_profile": own}):
        for form, lossless in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
            got, notes = read(tmp_path, encoded(Image.fromarray(pixels), form, **options, **lossless))
            assert np.array_equal(got, pixels)
            assert notes == []


def test_a_profile_that_cannot_be_used_is_ignored_and_told(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 4), (200, 100, 90))
    for broken in (b"no profile", P3[:200], P3[:140] + b"\xff" * 40 + P3[180:]):
        got, notes = read(tmp_path, encoded(picture, "PNG", icc_profile=broken), opaque=True)
        assert got[0, 0, :3].tolist() == [200, 100, 90]
        assert "damaged colour profile" in notes[0]
    grey = profile(b"GRAY", gamma_curve(2.2), {})
    _, notes = read(tmp_path, encoded(picture, "PNG", icc_profile=grey), opaque=True)
    assert notes == ["has a colour profile for GRAY that does not suit its pixels and is ignored"]


def test_the_gamma_of_a_png_counts_unless_it_says_srgb(tmp_path: Path) -> None:
    linear = (b"gAMA", struct.pack(">I", 100_000))
    got, notes = read(tmp_path, png(1, 8, 2, b"\x80\x80\x80", linear), opaque=True)
    assert got[0, 0, 0] == 188
    assert notes == ["is converted from gamma 1 to sRGB"]
    for chunks in ((linear, (b"sRGB", b"\0")), ((b"gAMA", struct.pack(">I", 45_455)),)):
        got, notes = read(tmp_path, png(1, 8, 2, b"\x80\x80\x80", *chunks), opaque=True)
        assert got[0, 0, 0] == 128
        assert notes == []


def test_colours_without_a_profile_to_convert_by_are_refused(tmp_path: Path) -> None:
    wide = struct.pack(">8I", *(round(v * 1e5) for v in (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)))
    with pytest.raises(DatasetError, match="other primary colours than sRGB"):
        read(tmp_path, png(1, 8, 2, b"\x80\x80\x80", (b"cHRM", wide)), opaque=True)
    with pytest.raises(DatasetError, match="not in sRGB"):
        read(tmp_path, png(1, 8, 2, b"\x80\x80\x80", (b"cICP", b"\x0c\x0d\0\x01")), opaque=True)
    assert read(tmp_path, png(1, 8, 2, b"\x80\x80\x80", (b"cICP", b"\x01\x0d\0\x01")), opaque=True)[1] == []
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 2}
    with pytest.raises(DatasetError, match="not in sRGB"):
        read(tmp_path, encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif), opaque=True)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_pictures_in_one_file_are_refused(tmp_path: Path, form: str) -> None:
    frames = [Image.new("RGBA", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(DatasetError, match=r"holds 3 frames .*\. Save the one"):
        read(tmp_path, data)
    got, notes = read(tmp_path, encoded(frames[0], form, save_all=True), opaque=True)
    assert np.abs(got[0, 0].astype(int) - (255, 0, 0, 255)).max() < 4
    assert notes == []


def test_the_main_picture_of_a_phone_is_taken(tmp_path: Path) -> None:
    pair = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    got, _ = read(tmp_path, encoded(pair[0], "MPO", save_all=True, append_images=[pair[1]]), opaque=True)
    assert got[0, 0, 0] > 250


def test_the_contents_tell_the_form_and_not_the_suffix(tmp_path: Path) -> None:
    cut = Image.new("RGBA", (8, 8), (10, 20, 30, 40))
    assert read(tmp_path, encoded(cut, "WEBP", lossless=True), name="a.JPG")[0][0, 0].tolist() == [10, 20, 30, 40]


def test_what_is_not_a_picture_is_told(tmp_path: Path) -> None:
    cases = [
        (b"", "a.png", "empty"),
        (b"torn", "a.png", "not a PNG, JPEG, WebP, GIF, BMP or TIFF picture"),
        (b"\0\x05\x16\x07" + bytes(60), "._a.png", "macOS keeps beside a file"),
        (encoded(Image.new("RGBA", (8, 8)), "TGA"), "a.tga", "not a PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "a.png", "not a PNG"),
        (encoded(Image.new("RGB", (8, 8)), "PNG"), "a.png", "no alpha channel"),
    ]
    for data, name, words in cases:
        with pytest.raises(DatasetError, match=words):
            read(tmp_path, data, name=name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DatasetError, match="not a file"):
        read_picture(tmp_path / "folder.png", opaque=False)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(DatasetError, match="not a file"):
            read_picture(tmp_path / "pipe.png", opaque=False)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for width, height in ((MAX_PIXELS // 8192 + 1, 8192), (60_000, 60_000), (2**31 - 1, 2**31 - 1)):
        data = bytearray(png(1, 8, 0, b"\0"))
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        with pytest.raises(DatasetError, match=r"more than 67 million|too large|cannot be read"):
            read(tmp_path, bytes(data), opaque=True)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_that_is_cut_short_is_refused(tmp_path: Path, form: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    data = encoded(Image.fromarray(noise), form, **({"lossless": True} if form == "WEBP" else {}))
    for share in (0.1, 0.5, 0.9, 0.97):
        with pytest.raises(DatasetError, match="cannot be read"):
            read(tmp_path, data[: int(share * len(data))], opaque=True)


def test_a_picture_that_shows_nothing_is_told(tmp_path: Path) -> None:
    assert read(tmp_path, encoded(Image.new("RGBA", (8, 8), (9, 9, 9, 0)), "PNG"))[1] == ["is fully transparent"]


def _samples() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 12, 4), np.uint8))
    options: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}
    out = [encoded(noise, form, exif=exif, icc_profile=P3, **more) for form, more in options.items()]
    out.append(encoded(noise.convert("RGB"), "JPEG", exif=exif, icc_profile=P3))
    out.append(encoded(noise.convert("RGB").quantize(8), "GIF", transparency=1))
    out.append(encoded(noise, "BMP"))
    return out


SAMPLES = _samples()


@settings(max_examples=400, deadline=None)
@given(
    which=st.integers(0, len(SAMPLES) - 1),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 4000),
)
def test_a_damaged_picture_gives_a_picture_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, which: int, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(SAMPLES[which])
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: len(data) - cut] if cut < len(data) // 2 else data)
    with contextlib.suppress(DatasetError):
        picture, _ = read_picture(path, opaque=True)
        assert picture.mode == "RGBA"
