"""Colour and alpha side by side: exact by itself, close after a codec, refused where impossible."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine_bridge import side_by_side
from engine_bridge.frame import Pixels


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_what_is_packed_comes_out_again_byte_by_byte(width: int, height: int, seed: int) -> None:
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    rgb = side_by_side.pack(rgba)
    assert rgb.shape == (height, 2 * width, 3)
    np.testing.assert_array_equal(side_by_side.unpack(rgb), rgba)


def test_colour_is_left_and_alpha_right_also_where_alpha_is_nothing() -> None:
    rgba = np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8)
    assert side_by_side.pack(rgba).tolist() == [[[10, 20, 30], [40, 50, 60], [0, 0, 0], [255, 255, 255]]]


def test_a_picture_with_row_gaps_and_a_buffer_to_fill_are_taken() -> None:
    wide = np.random.default_rng(1).integers(0, 256, (5, 9, 4), dtype=np.uint8)
    rgba = wide[:, 2:8]
    rgb = np.empty((5, 12, 3), np.uint8)
    assert side_by_side.pack(rgba, rgb) is rgb
    back = np.empty((5, 6, 4), np.uint8)
    assert side_by_side.unpack(rgb, back) is back
    np.testing.assert_array_equal(back, rgba)


def soft_portrait(side: int = 128) -> Pixels:
    """A soft disc on a clear ground, its colour extending beyond its edge like in a character's pictures."""
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    alpha = np.clip((0.4 - np.hypot(x, y)) * 40, 0, 1)
    colour = np.stack([0.5 + 0.4 * x, 0.5 - 0.4 * y, 0.6 + 0.2 * x], axis=-1)
    return np.round(np.concatenate([colour, alpha[..., None]], axis=-1) * 255).astype(np.uint8)


def test_jpeg_leaves_it_near() -> None:
    rgba = soft_portrait()
    file = io.BytesIO()
    Image.fromarray(side_by_side.pack(rgba)).save(file, "JPEG", quality=85)
    back = side_by_side.unpack(np.asarray(Image.open(file)))
    away = np.abs(back.astype(int) - rgba)
    assert away[..., :3].mean() < 2
    assert away[..., 3].mean() < 2
    assert away[..., 3].max() < 40
    # What was surely inside stays opaque, what was surely outside stays out.
    assert back[..., 3][rgba[..., 3] == 255].mean() > 253
    assert back[..., 3][rgba[..., 3] == 0].mean() < 2


@pytest.mark.parametrize(
    ("call", "wrong", "says"),
    [
        (side_by_side.pack, np.zeros((4, 4, 3), np.uint8), r"give uint8 \[H, W, 4\]"),
        (side_by_side.pack, np.zeros((4, 4, 4), np.float32), "float32"),
        (side_by_side.unpack, np.zeros((4, 4, 4), np.uint8), r"give uint8 \[H, W, 3\]"),
        (side_by_side.unpack, np.zeros((4, 5, 3), np.uint8), "cannot be cut into two halves"),
    ],
)
def test_another_shape_is_refused(call: Callable[[Pixels], Pixels], wrong: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(wrong)


def test_a_buffer_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="4x4 needs"):
        side_by_side.pack(np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="2x4 need"):
        side_by_side.unpack(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8))
