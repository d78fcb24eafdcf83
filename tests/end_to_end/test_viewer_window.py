"""A real pygame window on SDL's dummy display, driven by posted events, with a fake stream source."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import msgspec
import numpy as np
import pygame
import pytest
from PIL import Image

from engine_bridge.avf.messages import ControlSpec, ExpressionSpec, LinkState, LiveStats, StreamInfo
from engine_bridge.errors import SinkError
from engine_bridge.frame import Frame
from engine_bridge.viewer.window import Window, run_window

SIZE = (800, 600)
PANEL = 336
CONTROLS = [
    ControlSpec("headYaw", -30.0, 30.0, 0.0, "head"),
    ControlSpec("headPitch", -20.0, 20.0, 0.0, "head"),
    ControlSpec("gazeYaw", -30.0, 30.0, 0.0, "eyes"),
    ControlSpec("gazePitch", -20.0, 20.0, 0.0, "eyes"),
    ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth"),
    ControlSpec("fixed", 1.0, 1.0, 1.0, "mouth"),
]
INFO = StreamInfo(
    session=1,
    stream="test",
    character="Aki",
    width=64,
    height=64,
    fps=60.0,
    controls=CONTROLS,
    identities=["aki", "hana", "a name that is far too long for its button"],
    expressions=[ExpressionSpec("happy", "1"), ExpressionSpec("sad", "2"), ExpressionSpec("plain")],
    has_mapping=True,
    provider="synthetic",
)


class DrawnSource:
    """A stream whose frames are supplied by the test."""

    def __init__(self, info=INFO):
        self.info = info
        self.stats = LiveStats(provider="synthetic", fps=60.0, target_fps=60.0, driver="idle")
        self.sent = []
        self.taken = 0
        self._next = None
        self._number = 0

    def give(self, pixels, session=1):
        self._number += 1
        self._next = Frame(pixels, self._number, session, "test", 0, 0, 0, 0, 0, "synthetic")

    def latest(self):
        frame, self._next = self._next, None
        self.taken += frame is not None
        return frame

    def send(self, state):
        self.sent.append(state)

    def close(self):
        raise AssertionError("the window closes what it does not own")


@pytest.fixture(autouse=True)
def _dummy_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture
def source():
    source = DrawnSource()
    source.give(np.random.default_rng(3).integers(0, 256, (64, 64, 4), np.uint8))
    return source


@pytest.fixture
def window(source, tmp_path):
    with Window(source, title="test", size=SIZE, scale=1.0, screenshots=tmp_path) as window:
        window.step()
        yield window


def post(kind, **values):
    pygame.event.post(pygame.event.Event(kind, **values))


def press(window, key, mod=0):
    post(pygame.KEYDOWN, key=key, mod=mod, unicode="", scancode=0)
    window.step()


def mouse(window, kind, pos, button=1):
    pygame.mouse.set_pos(pos)
    if kind == pygame.MOUSEMOTION:
        post(kind, pos=pos, rel=(0, 0), buttons=(0, 0, 0), touch=False)
    else:
        post(kind, pos=pos, button=button, touch=False)
    settle(window)


def settle(window):
    """Let the widgets process the events and their own follow-ups; they are updated 30 times a second."""
    for _ in range(4):
        time.sleep(0.035)
        window.step()


def click(window, pos):
    mouse(window, pygame.MOUSEMOTION, pos)
    mouse(window, pygame.MOUSEBUTTONDOWN, pos)
    mouse(window, pygame.MOUSEBUTTONUP, pos)


def button(window, text):
    for sprite in window._panel._manager.get_sprite_group().sprites():
        if getattr(sprite, "text", None) == text and sprite.visible and hasattr(sprite, "held"):
            return sprite.rect.center
    raise AssertionError(f"no button {text!r} is in sight")


def row(window, name):
    return window._panel._sliders.rows[name]


def test_keys_become_expressions_and_the_same_key_takes_them_back(window, source):
    press(window, pygame.K_1)
    press(window, pygame.K_2)
    press(window, pygame.K_2)
    press(window, pygame.K_9)
    assert [state.expression for state in source.sent] == ["happy", "sad", ""]
    assert [state.control_id for state in source.sent] == [1, 2, 3]
    assert all(state.timestamp_ns > 0 for state in source.sent)


def test_keys_light_their_button_although_nobody_touches_the_panel(window):
    time.sleep(0.6)  # the widgets are asleep by then
    window.step()
    left, top = window._panel._contents._expressions["happy"].rect.move(8, 4).topleft
    before = pygame.display.get_surface().get_at((left, top))[:3]
    press(window, pygame.K_1)
    lit = pygame.display.get_surface().get_at((left, top))[:3]
    press(window, pygame.K_1)
    assert pygame.display.get_surface().get_at((left, top))[:3] == before
    assert lit == (255, 138, 101)


def test_drag_leads_head_and_eyes_and_letting_go_frees_them(window, source):
    mouse(window, pygame.MOUSEBUTTONDOWN, (700, 200))
    leading = source.sent[-1].controls
    assert set(leading) == {"headYaw", "headPitch", "gazeYaw", "gazePitch"}
    assert 0.0 < leading["headYaw"] < leading["gazeYaw"]
    assert leading["gazePitch"] > 0.0
    mouse(window, pygame.MOUSEMOTION, (400, 400))
    assert source.sent[-1].controls["gazeYaw"] < 0.0
    assert source.sent[-1].controls["gazePitch"] < 0.0
    mouse(window, pygame.MOUSEBUTTONUP, (400, 400))
    assert source.sent[-1].controls == {}


def test_following_the_mouse_needs_no_button(window, source):
    press(window, pygame.K_m)
    mouse(window, pygame.MOUSEMOTION, (790, 300))
    assert source.sent[-1].controls["gazeYaw"] > 0.0
    press(window, pygame.K_m)
    assert source.sent[-1].controls == {}


def test_slider_is_dragged_held_and_reset_by_a_double_click(window, source):
    slider = row(window, "headYaw").slider
    thumb = slider.sliding_button.rect.center
    mouse(window, pygame.MOUSEMOTION, thumb)
    mouse(window, pygame.MOUSEBUTTONDOWN, thumb)
    mouse(window, pygame.MOUSEMOTION, (thumb[0] + 24, thumb[1]))
    mouse(window, pygame.MOUSEBUTTONUP, (thumb[0] + 24, thumb[1]))
    assert set(source.sent[-1].controls) == {"headYaw"}
    assert 5.0 < source.sent[-1].controls["headYaw"] < 30.0
    assert row(window, "headYaw").reset.visible
    assert slider.sliding_button.drawable_shape.active_state.state_id == "selected"
    at = slider.rect.center
    for kind in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
        post(kind, pos=at, button=1, touch=False)
    window.step()
    assert source.sent[-1].controls == {}
    assert slider.current_value == 0.0
    assert not row(window, "headYaw").reset.visible


def test_click_beside_the_thumb_takes_it_there_and_its_cross_frees_it(window, source):
    slider = row(window, "headPitch").slider
    click(window, (slider.rect.left + 12, slider.rect.centery))
    assert source.sent[-1].controls["headPitch"] < -10.0
    click(window, row(window, "headPitch").reset.rect.center)
    assert source.sent[-1].controls == {}


def test_reset_button_frees_everything(window, source):
    press(window, pygame.K_1)
    click(window, row(window, "headYaw").slider.rect.move(12, 0).midleft)
    assert source.sent[-1].controls
    click(window, button(window, "Reset all"))
    assert source.sent[-1].controls == {}
    assert source.sent[-1].expression == ""


def test_identity_button_seed_box_and_dice(window, source):
    click(window, button(window, "hana"))
    assert source.sent[-1].identity == "hana"
    entry = window._panel._contents._identity._entry
    click(window, entry.rect.center)
    for letter in "42":
        post(pygame.TEXTINPUT, text=letter)
        post(pygame.KEYDOWN, key=ord(letter), mod=0, unicode=letter, scancode=0)
    post(pygame.KEYDOWN, key=pygame.K_RETURN, mod=0, unicode="\r", scancode=0)
    settle(window)
    assert source.sent[-1].identity == 42
    assert source.sent[-1].expression is None, "digits in the box are no hotkeys"
    press(window, pygame.K_1)
    assert source.sent[-1].expression == "happy", "the keys are the window's again"
    press(window, pygame.K_d)
    settle(window)
    assert isinstance(source.sent[-1].identity, int)
    assert entry.get_text() == str(source.sent[-1].identity)


def test_a_character_that_draws_nobody_new_has_no_seed_box_and_no_variety(source, tmp_path):
    source.info = msgspec.structs.replace(source.info, has_mapping=False)
    with Window(source, title="test", size=SIZE, scale=1.0, screenshots=tmp_path) as window:
        settle(window)
        assert window._panel._contents._identity._entry is None
        assert "truncation psi" not in window._panel._sliders.rows
        click(window, button(window, "hana"))
        assert source.sent[-1].identity == "hana"


def test_mix_section_opens_and_mixes_a_second_identity(window, source):
    click(window, button(window, "Mix with another person"))
    picker = window._panel._contents._mix
    click(window, picker._buttons["hana"].rect.center)
    assert source.sent[-1].mix.identity == "hana"
    assert source.sent[-1].mix.amount == 0.5
    click(window, picker._buttons["hana"].rect.center)
    assert source.sent[-1].mix.amount == 0.0


def test_calibration_key(window, source):
    press(window, pygame.K_c)
    assert source.sent[-1].calibrate


def test_screenshot_is_the_frame_with_its_alpha(window, source, tmp_path):
    pixels = np.random.default_rng(9).integers(0, 256, (48, 80, 4), np.uint8)
    pixels[:10, :, 3] = 0
    source.give(pixels.copy())
    window.step()
    press(window, pygame.K_s)
    deadline = time.monotonic() + 10
    while not (files := list(tmp_path.glob("*.png"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    settle(window)
    assert [path.suffix for path in tmp_path.iterdir()] == [".png"]
    with Image.open(files[0]) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert str(files[0]) in window._toast[0]


def test_screenshot_that_cannot_be_saved_is_reported_and_leaves_nothing(source, tmp_path):
    (tmp_path / "taken").write_text("a file where the folder should be")
    with Window(source, title="test", size=SIZE, scale=1.0, screenshots=tmp_path / "taken") as window:
        window.step()
        press(window, pygame.K_s)
        deadline = time.monotonic() + 10
        while "could not be saved" not in window._toast[0] and time.monotonic() < deadline:
            window.step()
            window.rest()
        assert "could not be saved" in window._toast[0]
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_window_survives_resize_and_frames_of_any_size(window, source):
    for size, shape in [((500, 400), (16, 40)), ((300, 200), (400, 10)), ((60, 40), (1, 1)), ((1000, 700), (256, 256))]:
        pygame.display.set_mode(size, pygame.RESIZABLE)
        post(pygame.VIDEORESIZE, size=size, w=size[0], h=size[1])
        source.give(np.full((*shape, 4), 200, np.uint8))
        window.step()
        window.step()
        assert pygame.display.get_surface().get_size() == size
    assert source.taken == 5


def test_picture_on_screen_is_composited_over_green(source):
    half = np.zeros((64, 64, 4), np.uint8)
    half[...] = (200, 100, 50, 128)
    source.give(half)
    with Window(source, title="test", size=SIZE, scale=1.0, background="green") as window:
        press(window, pygame.K_F2)
        window.step()
        shown = pygame.display.get_surface().get_at(((SIZE[0] + PANEL) // 2, SIZE[1] // 2))[:3]
    alpha = 128 / 255
    expected = [200 * alpha, 100 * alpha + 255 * (1 - alpha), 50 * alpha]
    assert np.abs(np.subtract(shown, expected)).max() <= 2.0


def test_background_key_cycles_and_a_wrong_colour_is_reported(window):
    press(window, pygame.K_b)
    assert window._picture.background == "green"
    window._choose_background("plaid")
    assert "plaid" in window._toast[0]
    assert window._picture.background == "green"


def test_stream_without_info_frames_or_controls(tmp_path):
    source = DrawnSource(info=None)
    source.stats = None
    with Window(source, title="test", size=SIZE, scale=1.0) as window:
        window.step()
        for key in (pygame.K_1, pygame.K_d, pygame.K_s, pygame.K_r, pygame.K_m, pygame.K_h, pygame.K_z):
            press(window, key)
        source.info = StreamInfo(
            session=1, stream="bare", character="Bare", width=8, height=8, fps=30.0, controls=[], expressions=[]
        )
        source.give(np.zeros((8, 8, 4), np.uint8))
        window.step()
        assert window._panel.info == source.info
    assert all(state.controls == {} for state in source.sent)


def test_lost_stream_keeps_its_last_frame_and_says_so(source):
    class LinkedSource(DrawnSource):
        link = LinkState.LIVE

    linked = LinkedSource()
    red = np.zeros((64, 64, 4), np.uint8)
    red[...] = (255, 0, 0, 255)
    linked.give(red)
    with Window(linked, title="test", size=SIZE, scale=1.0) as window:
        window.step()
        linked.link = LinkState.LOST
        time.sleep(0.26)
        window.step()
        assert any(line.label.startswith("lost") for line in window._lines)
        assert pygame.display.get_surface().get_at((568, 300))[:3] == (255, 0, 0)


def test_new_session_hears_the_state_again(window, source):
    press(window, pygame.K_1)
    said = len(source.sent)
    source.give(np.zeros((64, 64, 4), np.uint8), session=2)
    window.step()
    assert len(source.sent) == said + 1
    assert source.sent[-1].expression == "happy"


def test_panel_hides_and_scale_changes(window, source):
    press(window, pygame.K_TAB)
    assert window._area.left == 0
    press(window, pygame.K_TAB)
    assert window._area.left == PANEL
    press(window, pygame.K_PLUS, pygame.KMOD_CTRL)
    assert window._area.left == PANEL * 1.25
    press(window, pygame.K_MINUS, pygame.KMOD_CTRL)
    assert window._area.left == PANEL


def test_quiet_window_draws_and_sends_nothing(window, source):
    time.sleep(0.6)  # the widgets stay awake that long after SDL's first events
    window.step()
    window.step()
    drawn = pygame.display.get_surface().copy()
    pygame.display.get_surface().fill((1, 2, 3))
    window._figures_s = time.perf_counter() + 60
    window.step()
    assert pygame.display.get_surface().get_at((5, 5))[:3] == (1, 2, 3)
    assert drawn.get_at((5, 5))[:3] != (1, 2, 3)
    assert source.sent == []


def test_recording_is_started_stopped_and_stopped_at_the_end(source):
    asked = []

    def record(start):
        asked.append(start)
        return "take-1.mp4" if not start else None

    with Window(source, title="test", size=SIZE, scale=1.0, on_record=record) as window:
        window.step()
        press(window, pygame.K_r)
        press(window, pygame.K_r)
        assert window._toast[0] == "take-1.mp4"
        press(window, pygame.K_r)
    assert asked == [True, False, True, False]


def test_recording_that_cannot_start_is_reported(source):
    def record(start):
        raise SinkError("The disk is full. Free some space.")

    with Window(source, title="test", size=SIZE, scale=1.0, on_record=record) as window:
        window.step()
        press(window, pygame.K_r)
        assert window._toast[0] == "The disk is full. Free some space."


def test_escape_and_the_close_button_end_the_window(source):
    with Window(source, title="test", size=SIZE, scale=1.0) as window:
        press(window, pygame.K_h)
        press(window, pygame.K_ESCAPE)
        assert not window.closed, "the first escape closes the help"
        press(window, pygame.K_ESCAPE)
        assert window.closed


def test_run_window_ends_by_itself_and_leaves_the_source_open(source):
    run_window(source, title="test", size=SIZE, scale=2.0, seconds=0.3)
    assert source.taken == 1
    assert not pygame.display.get_init()


def test_no_display_is_a_clear_error():
    code = (
        "from engine_bridge.viewer.window import run_window\n"
        "from engine_bridge.errors import SinkError\n"
        "try: run_window(None, title='x')\n"
        "except SinkError as error: print(error)"
    )
    names = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if sys.platform == "linux":
        environment["SDL_VIDEODRIVER"] = "x11"
    else:
        pytest.skip("only Linux can be without a display on purpose")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert "No window can be opened here" in done.stdout, done.stderr
    assert "--no-window" in done.stdout
