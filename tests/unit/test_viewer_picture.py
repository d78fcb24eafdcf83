from __future__ import annotations

import numpy as np
import pygame
import pytest

from engine_bridge.viewer.picture import Picture

GREEN = np.array([0, 255, 0], np.float64)
SIZE = (64, 48)
BGRX = (0xFF0000, 0xFF00, 0xFF, 0)  # what nearly all displays have
RGBX = (0xFF, 0xFF00, 0xFF0000, 0)


@pytest.fixture
def pixels():
    random = np.random.default_rng(5)
    return random.integers(0, 256, (SIZE[1], SIZE[0], 4), np.uint8)


def drawn(picture, size, masks, name="green"):
    screen = pygame.Surface(size, 0, 32, masks)
    picture.background = name
    picture.draw(screen, screen.get_rect(), cell=8)
    return pygame.surfarray.array3d(screen).swapaxes(0, 1)


@pytest.mark.parametrize("masks", [BGRX, RGBX], ids=["bgrx", "rgbx"])
def test_straight_alpha_over_green_is_right_within_two(pixels, masks):
    picture = Picture("green")
    picture.take(pixels)
    alpha = pixels[..., 3:].astype(np.float64) / 255.0
    expected = pixels[..., :3] * alpha + GREEN * (1.0 - alpha)
    assert np.abs(drawn(picture, SIZE, masks) - expected).max() <= 2.0


@pytest.mark.parametrize("masks", [BGRX, RGBX], ids=["bgrx", "rgbx"])
@pytest.mark.parametrize("times", [2.5, 0.5])
def test_black_under_transparent_pixels_makes_no_dark_fringe(masks, times):
    # A white disc; the colour under alpha 0 is black, as careless producers leave it.
    y, x = np.mgrid[0:64, 0:64]
    disc = np.where(((x - 31.5) ** 2 + (y - 31.5) ** 2 < 400)[..., None], 255, 0).astype(np.uint8).repeat(4, axis=2)
    picture = Picture("white")
    picture.take(disc)
    shown = drawn(picture, (round(64 * times), round(64 * times)), masks, "white")
    assert shown.min() >= 253


def test_picture_keeps_its_aspect_in_the_middle(pixels):
    picture = Picture("green")
    pixels[...] = (255, 0, 0, 255)
    picture.take(pixels)
    shown = drawn(picture, (300, 96), BGRX)
    red = (shown == (255, 0, 0)).all(axis=2)
    rows, columns = np.nonzero(red)
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (86, 214, 0, 96)
    assert (shown[~red] == (0, 255, 0)).all()


def test_size_may_change_from_frame_to_frame(pixels):
    picture = Picture("black")
    for side in (16, 33, 7):
        picture.take(np.full((side, side * 2, 4), side, np.uint8))
        assert picture.size == (side * 2, side)
        drawn(picture, (100, 100), BGRX)


def test_pixels_are_kept_exactly_and_not_shared(pixels):
    picture = Picture("green")
    original = pixels.copy()
    picture.take(pixels)
    pixels[...] = 0
    drawn(picture, (120, 90), BGRX)
    np.testing.assert_array_equal(picture.copy_pixels(), original)


def test_same_sizes_need_no_new_surfaces(pixels):
    picture = Picture("green")
    screen = pygame.Surface((200, 150), 0, 32, BGRX)
    kept = []
    for _ in range(2):
        picture.take(pixels)
        picture.draw(screen, screen.get_rect(), cell=8)
        kept.append((picture._surface, picture._scaled, picture._backdrop[1], picture._premultiplied))
    assert all(first is second for first, second in zip(*kept, strict=True))


def test_zoom_keeps_the_point_under_the_pointer(pixels):
    picture = Picture("green")
    picture.take(pixels)
    area = pygame.Rect(50, 10, 400, 300)
    before = picture.locate((120, 70), area)
    for _ in range(10):
        picture.zoom(1.2, (120, 70), area)
    assert picture.locate((120, 70), area) == pytest.approx(before, abs=1e-6)
    picture.fit()
    assert picture.locate((120, 70), area) == pytest.approx(before)


def test_zoomed_picture_stays_inside_its_area(pixels):
    picture = Picture("green")
    pixels[...] = (255, 0, 0, 255)
    picture.take(pixels)
    screen = pygame.Surface((300, 200), 0, 32, BGRX)
    area = pygame.Rect(100, 20, 150, 150)
    for _ in range(30):
        picture.zoom(1.3, (110, 60), area)
    picture.draw(screen, area, cell=8)
    shown = pygame.surfarray.array3d(screen).swapaxes(0, 1)
    outside = np.ones(shown.shape[:2], bool)
    outside[area.top : area.bottom, area.left : area.right] = False
    assert (shown[outside] == 0).all()
    assert (shown[~outside] == (255, 0, 0)).all()


def test_corners_of_the_picture_are_plus_and_minus_one():
    picture = Picture("green")
    picture.take(np.zeros((100, 100, 4), np.uint8))
    area = pygame.Rect(0, 0, 200, 100)
    assert picture.locate((50, 0), area) == (-1.0, 1.0)
    assert picture.locate((150, 100), area) == (1.0, -1.0)


def test_checkerboard_has_two_tones():
    picture = Picture("checkerboard")
    shown = drawn(picture, (32, 32), BGRX, "checkerboard")
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 2
    assert (shown[0, 0] == shown[8, 8]).all()
    assert (shown[0, 0] != shown[0, 8]).any()
