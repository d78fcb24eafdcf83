"""The virtual camera, on the real pyvirtualcam with a fake device."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, ClassVar

import numpy as np
import pytest

from engine_bridge import side_by_side
from engine_bridge.errors import SinkError
from engine_bridge.frame import Pixels
from runtime.drivers.table import open_drivers
from runtime.engines.synthetic import SyntheticEngine, synthetic_role
from runtime.live.loop import Act, LiveLoop
from runtime.live.performer import Performer
from runtime.live.settings import LiveSettings
from runtime.sinks.base import Show
from runtime.sinks.table import open_sink
from tests.unit.test_side_by_side import soft_portrait

pytestmark = pytest.mark.timeout(60)

SHOW = Show(width=6, height=4)


class Device:
    """A camera device that records its input; a backend as required by pyvirtualcam."""

    opened: ClassVar[list[Device]] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: Any) -> None:
        if device not in (None, "stand-in"):
            raise RuntimeError(f"no device {device}")
        self.size = (height, width, 3)
        self.fps = fps
        self.frames: list[Pixels] = []
        self.arrived = threading.Event()
        self.closed = False
        self.unplugged = False
        self.opened.append(self)

    def send(self, frame: Pixels) -> None:
        if self.unplugged:
            raise RuntimeError("unplugged")
        self.frames.append(frame.reshape(self.size).copy())
        self.arrived.set()

    def close(self) -> None:
        self.closed = True

    def device(self) -> str:
        return "stand-in"

    def native_fourcc(self) -> int | None:
        return None


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """The opened devices; the library knows no others."""
    library = pytest.importorskip("pyvirtualcam", reason="pyvirtualcam is not installed (GPL 2.0, extra camera)")
    monkeypatch.setattr(library.camera, "BACKENDS", {})
    library.register_backend("stand-in", Device)
    Device.opened.clear()
    return Device.opened


def shown(asked: str, pixels: Pixels, devices: list[Device], **how: Any) -> Device:
    height, width = pixels.shape[:2]
    camera = open_sink(asked, Show(width=width, height=height, fps=30, **how))
    camera.offer(pixels)
    assert devices[0].arrived.wait(30)
    camera.close()
    assert camera.label == "camera stand-in"
    assert camera.report.sent == 1
    assert devices[0].closed
    return devices[0]


def test_a_camera_shows_the_character_over_the_background(devices: list[Device]) -> None:
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:2] = (200, 100, 50, 255)
    device = shown("camera:auto", pixels, devices, background="green")
    assert device.size == (4, 6, 3)
    assert device.fps == 30
    assert device.frames[0][0, 0].tolist() == [200, 100, 50]
    assert device.frames[0][3, 0].tolist() == [0, 255, 0]


def test_a_camera_can_carry_alpha_beside_the_colour(devices: list[Device]) -> None:
    rgba = soft_portrait(32)
    device = shown("camera:stand-in", rgba, devices, layout="side-by-side")
    np.testing.assert_array_equal(side_by_side.unpack(device.frames[0]), rgba)


def test_a_camera_that_is_pulled_out_ends_alone(devices: list[Device], caplog: pytest.LogCaptureFixture) -> None:
    camera = open_sink("camera:", SHOW)
    devices[0].unplugged = True
    deadline = time.monotonic() + 30
    while not camera.failed:
        camera.offer(np.zeros((4, 6, 4), np.uint8))
        assert time.monotonic() < deadline
        time.sleep(0.002)
    camera.close()
    assert "camera stand-in has failed and shows nothing more: unplugged" in caplog.text


@pytest.mark.parametrize("asked", ["kamera:auto", "", "film:a.mp4"])
def test_an_unknown_sink_is_named(asked: str) -> None:
    with pytest.raises(SinkError, match="Use one of: film, camera, spout"):
        open_sink(asked, SHOW)


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("name", ["/dev/video99", "auto"])
def test_a_missing_camera_is_explained(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "auto":
        monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    with pytest.raises(SinkError) as told:
        open_sink(f"camera:{name}", SHOW)
    wanted = "virtual camera" if name == "auto" else f'virtual camera "{name}"'
    assert f"No {wanted} accepts 6x4" in str(told.value)
    assert ("modprobe v4l2loopback" if sys.platform.startswith("linux") else "OBS") in str(told.value)


@pytest.mark.usefixtures("devices")
def test_a_wrong_background_is_explained_before_anything_is_shown() -> None:
    with pytest.raises(SinkError, match="#rrggbb"):
        open_sink("camera:auto", Show(width=6, height=4, background="grassy"))


def test_without_the_library_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"pip install .*\[camera\]"):
        open_sink("camera:", SHOW)


def test_a_camera_alone_keeps_the_show_going(devices: list[Device]) -> None:
    role = synthetic_role(width=64, height=48)
    settings = LiveSettings(sinks=("camera:auto",))
    with SyntheticEngine(role.controls, width=64, height=48) as engine:
        performer = Performer(role, engine, open_drivers([], role.idle), session=5)
        with LiveLoop([Act([performer])], settings, window=False) as loop:
            assert loop.sinks == ["camera stand-in"]
            thread = threading.Thread(target=loop.run)
            thread.start()
            deadline = time.monotonic() + 60
            while len(devices[0].frames) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            loop.stop()
            thread.join(30)
        report = loop.report()
    assert loop.error is None
    assert [sink.sent for sink in report.sinks] == [len(devices[0].frames)]
