"""The preview in a character file: one still WebP of the frame's size, or one of our errors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine_bridge.errors import CharacterError
from runtime.character.file import Character
from runtime.character.writing import write_character
from runtime.engines.preview_check import preview_of
from tests.tiny_character import manifest, members

PICTURE = np.dstack([np.full((32, 32), value, np.uint8) for value in (10, 200, 30, 128)])


def encoded(kind: str = "WEBP", picture: np.ndarray = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def preview(tmp_path: Path, data: bytes) -> np.ndarray | None:
    path = tmp_path / "pictured.bunraku"
    write_character(path, manifest(), {**members(), "preview.webp": data})
    with Character.open(path) as character:
        return preview_of(character)


def canvas(width: int, height: int, flags: int = 0x10) -> bytes:
    """A WebP that declares this many pixels and holds none."""
    body = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + (10).to_bytes(4, "little") + body
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


def test_a_webp_of_the_frames_size_is_decoded(tmp_path: Path) -> None:
    found = preview(tmp_path, encoded(lossless=True, exact=True))
    assert found is not None
    assert np.array_equal(found, PICTURE)
    assert preview(tmp_path, encoded(picture=PICTURE[..., :3], quality=90)) is not None


def test_a_picture_of_another_size_is_not_decoded(tmp_path: Path) -> None:
    assert preview(tmp_path, encoded(picture=PICTURE[:16])) is None
    assert preview(tmp_path, canvas(4096, 4096)) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a WebP"),
        (b"no image", "not a WebP"),
        (encoded("PNG"), "not a WebP"),
        (encoded("GIF", PICTURE[..., 0]), "not a WebP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n%%EOF\n", "not a WebP"),
        (canvas(16384, 16384), "4096 are the most"),
        (canvas(32, 1 << 24), "4096 are the most"),
        (canvas(32, 32, flags=0x02), "animated"),
        (canvas(32, 32), "cannot be decoded"),
        (encoded()[:40], "cannot be decoded"),
    ],
)
def test_anything_else_is_our_error_and_takes_no_memory(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(CharacterError, match=words):
        preview(tmp_path, data)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 200), value=st.integers(0, 255))
def test_a_damaged_picture_gives_a_picture_or_our_error(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(encoded(lossless=True))
    data[place % len(data)] = value
    try:
        preview(tmp_path, bytes(data))
    except CharacterError:
        return
