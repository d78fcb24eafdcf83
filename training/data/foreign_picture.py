"""Pictures from other programs, read the way viewers show them.

The result is upright, sRGB, eight bits per channel and straight alpha, whatever the file holds: EXIF orientation,
palettes, colour keys, 16 bits, colour profiles, CMYK. Anything that cannot be read correctly is refused.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from training.errors import DatasetError

MAX_FILE_BYTES: Final = 512 << 20
MAX_PIXELS: Final = 8192 * 8192

# Others are omitted on purpose: decoders that start programs (EPS), or leave alpha (TGA) or colour (AVIF) undefined.
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_ORIENTATION: Final = 0x0112
_EXIF_IFD, _COLOUR_SPACE, _INTEROPERABILITY_IFD, _INTEROPERABILITY = 0x8769, 0xA001, 0xA005, 1
_SRGB_GAMMA: Final = 1 / 2.2
_SRGB_PRIMARIES: Final = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)

# What decoders raise for malformed files, besides their documented errors.
_DECODING: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_picture(path: Path, *, opaque: bool) -> tuple[Image.Image, list[str]]:
    """Read one picture.

    Args:
        path: of the file.
        opaque: accept a picture without alpha.

    Returns:
        The picture as RGBA, and how it was changed, in words that continue "a picture".

    Raises:
        DatasetError: it cannot be read correctly; the message continues the picture's name.
    """
    data = _read_file(path)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            colour, alpha, notes = _decode(data, opaque=opaque)
    except UnidentifiedImageError:
        raise DatasetError(_unidentified(path, data)) from None
    except Image.DecompressionBombError as error:
        raise DatasetError(f"is too large: {error}. Make it smaller.") from None
    except _DECODING as error:
        raise DatasetError(f"cannot be read: {error}. Replace it or remove its line.") from error
    if caught:
        notes.append(f"made the decoder say: {caught[0].message}")
    picture = colour.convert("RGB").convert("RGBA")
    if alpha is not None:
        picture.putalpha(alpha)
        if alpha.getextrema() == (0, 0):
            notes.append("is fully transparent")
    return picture, notes


def _decode(data: bytes, *, opaque: bool) -> tuple[Image.Image, Image.Image | None, list[str]]:
    """Colour in sRGB and alpha of a picture, upright, and how it was changed."""
    notes: list[str] = []
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DatasetError(
                f"is {image.width}x{image.height} px, more than {MAX_PIXELS / 1e6:.0f} million. Make it smaller."
            )
        frames = getattr(image, "n_frames", 1)
        # Additional pictures of a phone (MPO) are depth or a second view.
        if frames > 1 and image.format != "MPO":
            raise DatasetError(
                f"holds {frames} frames (an animation, or several pages). Save the one you want as a separate file."
            )
        depth, strange = _png_header(data) if image.format == "PNG" else (0, False)
        if image.getexif().get(_ORIENTATION, 1) in range(2, 9):
            notes.append("is turned as its EXIF orientation says")
        profile = image.info.get("icc_profile")
        if strange or (_is_adobe_rgb(image) and not profile):
            raise DatasetError(
                "is not in sRGB, and says so without a colour profile. Convert it to sRGB, or embed the profile."
            )
        image.load()
        colour, alpha = _split(ImageOps.exif_transpose(image), image, depth)
        if image.format == "TIFF" and alpha is None and _tiff_tag(image, 277) > len(colour.getbands()):
            raise DatasetError("has a channel more than its colours, and does not call it alpha. Save it as PNG.")
        if alpha is None and not opaque:
            raise DatasetError("has no alpha channel. Cut the character out, or pass --opaque.")
        if depth == 16 or image.mode.startswith("I;16"):
            notes.append("has 16 bits per channel and is rounded to 8")
        if profile:
            colour = _from_profile(colour, profile, notes)
        elif "srgb" not in image.info and image.format == "PNG":
            colour = _from_gamma(colour, image, notes)
    if colour.mode == "CMYK":
        notes.append("is in CMYK without a profile, so its colours are a guess")
    return colour, alpha, notes


def _read_file(path: Path) -> bytes:
    try:
        found = path.stat()
        # A pipe or a device would block for ever.
        if not stat.S_ISREG(found.st_mode):
            raise DatasetError("is not a file. Give the path of a picture.")
        if found.st_size > MAX_FILE_BYTES:
            raise DatasetError(f"has {found.st_size >> 20} MiB, more than {MAX_FILE_BYTES >> 20}. Make it smaller.")
        if found.st_size == 0:
            raise DatasetError("cannot be read: it is empty (0 bytes). Copy it again, or remove its line.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read: {error}. Replace it or remove its line.") from error


def _unidentified(path: Path, data: bytes) -> str:
    if path.name.startswith("._") and data[:4] == b"\0\x05\x16\x07":
        return "cannot be read: it is what macOS keeps beside a file and not a picture. Remove its line."
    return "cannot be read: it is not a PNG, JPEG, WebP, GIF, BMP or TIFF picture. Save it as PNG or remove its line."


def _png_header(data: bytes) -> tuple[int, bool]:
    """Bits per channel, and whether a cICP chunk names a colour space other than sRGB."""
    place = 8
    strange = False
    while place + 8 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if kind == b"IDAT":
            break
        # Colour primaries and transfer function as in ITU-T H.273: BT.709 with sRGB's curve.
        strange = strange or (kind == b"cICP" and data[place + 8 : place + 10] != b"\x01\x0d")
        place += 12 + size
    return data[24], strange


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Whether a camera specifies Adobe RGB, which it does in EXIF only."""
    exif = image.getexif()
    space = exif.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE)
    return space == 2 or (space == 0xFFFF and exif.get_ifd(_INTEROPERABILITY_IFD).get(_INTEROPERABILITY) == "R03")


def _split(image: Image.Image, source: Image.Image, depth: int) -> tuple[Image.Image, Image.Image | None]:
    """Colour as L, RGB or CMYK of eight bits, and alpha as L if present.

    Args:
        image: upright.
        source: as opened; only this one knows its format.
        depth: bits per channel of a PNG, 0 for other files.
    """
    mode, key = image.mode, image.info.get("transparency")
    if mode.startswith("I;16") or (mode == "I" and depth == 16):
        if source.format == "TIFF" and (_tiff_tag(source, 258) != 16 or _tiff_tag(source, 262) != 1):
            raise DatasetError("is a TIFF of 12 bits, or one that counts from white. Save it as PNG.")
        values = np.asarray(image).astype(np.uint32)
        grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        return grey, None if key is None else _mask(values != key)
    if mode in ("1", "L"):
        grey = image.convert("L")
        if not isinstance(key, int):
            return grey, None
        # Pillow widens grey of less than 8 bits, but not every version widens the key.
        if depth == 1:
            key = 255 if key else 0
        elif depth in (2, 4):
            key = key * 255 // (2**depth - 1)
        return grey, _mask(np.asarray(grey) != key)
    if mode == "RGB" and key is not None:
        if depth == 16:
            raise DatasetError("has a transparent colour of 16 bits. Save it as PNG with an alpha channel.")
        return image, _mask((np.asarray(image) != np.array(key)).any(2))
    if mode in ("LA", "RGBA", "PA", "La", "RGBa") or (mode == "P" and image.has_transparency_data):
        straight = image.convert("RGBA") if mode not in ("La", "LA") else image.convert("LA")
        return straight.convert("L" if straight.mode == "LA" else "RGB"), straight.getchannel("A")
    if mode in ("RGB", "P", "YCbCr"):
        return image.convert("RGB"), None
    if mode == "CMYK":
        return image, None
    kind = {"F": "floating point pixels", "I": "pixels of 32-bit integers"}.get(mode, f"pixels of the kind {mode}")
    raise DatasetError(f"has {kind}, whose range or colours are not fixed. Save it as PNG with 8 or 16 bits.")


def _tiff_tag(image: Image.Image, tag: int) -> int:
    found = getattr(image, "tag_v2", {}).get(tag, 1)
    return int(found[0] if isinstance(found, tuple) else found)


def _mask(opaque: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Image.Image:
    return Image.fromarray(np.where(opaque, np.uint8(255), np.uint8(0)))


def _from_profile(colour: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert colour from the picture's own profile to sRGB; unchanged if the difference is invisible."""
    try:
        space, name = _describe(profile)
        if space == "RGB" and colour.mode == "L":
            colour = colour.convert("RGB")
        if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space) != colour.mode:
            notes.append(f"has a colour profile for {space} that does not suit its pixels and is ignored")
            return colour
        transform = _to_srgb(profile, colour.mode)
        if transform is None:
            return colour
        converted = ImageCms.applyTransform(colour, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("has a damaged colour profile that is ignored; its colours are taken as sRGB")
        return colour
    if converted is None:
        raise TypeError("the colours were converted in place")
    notes.append(f'is converted from its colour profile "{name}" to sRGB')
    return converted


@lru_cache(maxsize=16)
def _describe(profile: bytes) -> tuple[str, str]:
    """Colour space of a profile, and its name without terminal control characters."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    name = "".join(filter(str.isprintable, ImageCms.getProfileDescription(opened).strip()))
    return opened.profile.xcolor_space.strip(), name[:40]


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB; None if no colour moves by more than rounding."""
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "CMYK":
        return transform
    steps = np.linspace(0, 255, 18).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(18, -1, 3)
    probe = Image.fromarray(cube if mode == "RGB" else cube[..., 0])
    found = ImageCms.applyTransform(probe, transform)
    moved = np.abs(np.asarray(found, np.int16) - np.asarray(probe.convert("RGB"), np.int16)).max()
    return None if moved <= 2 else transform


def _from_gamma(colour: Image.Image, image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert colour from a PNG's gamma to sRGB's, as browsers do."""
    primaries = image.info.get("chromaticity")
    if primaries and max(abs(a - b) for a, b in zip(primaries, _SRGB_PRIMARIES, strict=True)) > 0.02:
        raise DatasetError("has other primary colours than sRGB, and no profile. Convert it to sRGB.")
    gamma = image.info.get("gamma")
    if gamma is None or abs(gamma / _SRGB_GAMMA - 1) < 0.05:
        return colour
    if not 0.05 < gamma < 5:
        notes.append(f"has a gamma of {gamma:g}, which is implausible, and is taken as sRGB")
        return colour
    linear = np.linspace(0, 1, 256) ** (1 / gamma)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table = (255 * encoded).round().astype(int).tolist()
    notes.append(f"is converted from gamma {gamma:g} to sRGB")
    return colour.point(table * len(colour.getbands()))
