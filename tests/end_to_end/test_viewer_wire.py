"""The window as a client of another program's stream: real sockets on random ports, a window on SDL's dummy display."""

from __future__ import annotations

import time

import numpy as np
import pygame
import pytest
import zmq

from engine_bridge.access.keys import make_server_keys
from engine_bridge.avf.messages import ControlSpec, LinkState, LiveStats, StreamInfo
from engine_bridge.frame import Frame
from engine_bridge.producer.control_server import ControlServer
from engine_bridge.producer.publisher import Publisher
from engine_bridge.viewer.window import Window
from engine_bridge.viewer.wire_source import WireSource

INFO = StreamInfo(
    session=1,
    stream="aki",
    character="Aki",
    width=32,
    height=32,
    fps=60.0,
    controls=[ControlSpec("headYaw", -30.0, 30.0, 0.0, "head"), ControlSpec("gazeYaw", -30.0, 30.0, 0.0, "eyes")],
)


@pytest.fixture(autouse=True)
def _dummy_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def frame(number, control_id=0, control_timestamp_ns=0):
    pixels = np.full((32, 32, 4), number % 256, np.uint8)
    return Frame(pixels, number, 1, "aki", 0, 0, 0, control_id, control_timestamp_ns, "synthetic")


def test_window_shows_and_moves_a_stream_over_sockets():
    with (
        ControlServer("tcp://127.0.0.1:*", INFO) as server,
        Publisher("tcp://127.0.0.1:*", stream="aki", session=1, control_endpoint=server.endpoint) as publisher,
        WireSource(publisher.endpoint) as source,
        Window(source, title="test", size=(800, 600), scale=1.0) as window,
    ):
        heard = []

        def turn(number):
            last = heard[-1] if heard else None
            publisher.heartbeat(LiveStats(provider="synthetic", target_fps=60.0, driver="idle"))
            publisher.publish(frame(number, last.control_id if last else 0, last.timestamp_ns if last else 0))
            state = server.poll()
            if state is not None:
                heard.append(state)
            window.step()
            time.sleep(0.01)

        deadline = time.monotonic() + 15
        number = 0
        while time.monotonic() < deadline and (window._panel.info is None or source.link is not LinkState.LIVE):
            number += 1
            turn(number)
        assert window._panel.info == INFO
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, pos=(780, 300), button=1, touch=False))
        while time.monotonic() < deadline and (source.stats is None or source.stats.motion_to_photon_ms is None):
            number += 1
            turn(number)
        assert heard[-1].controls["gazeYaw"] > 0.0
        assert source.stats is not None
        assert source.stats.motion_to_photon_ms is not None
        assert source.stats.driver == "idle"
        assert window._picture.size == (32, 32)


def test_stream_without_a_control_channel_is_only_watched():
    with (
        Publisher("tcp://127.0.0.1:*", stream="aki", session=1) as publisher,
        WireSource(publisher.endpoint) as source,
        Window(source, title="test", size=(800, 600), scale=1.0) as window,
    ):
        deadline = time.monotonic() + 15
        number = 0
        while time.monotonic() < deadline and window._panel.info is None:
            number += 1
            publisher.heartbeat(LiveStats(target_fps=30.0))
            publisher.publish(frame(number))
            window.step()
            time.sleep(0.01)
        assert window._panel.info is not None
        assert (window._panel.info.character, window._panel.info.controls) == ("aki", [])
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_c, mod=0, unicode="c", scancode=0))
        window.step()


def test_window_stays_alive_when_nobody_listens(tcp_endpoint):
    with (
        WireSource(tcp_endpoint, control=tcp_endpoint) as source,
        Window(source, title="test", size=(400, 300), scale=1.0) as window,
    ):
        for turn in range(20):
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_c, mod=0, unicode="c", scancode=0))
            window.step()
            assert not window.closed, turn
        assert source.link is LinkState.LOST
        assert source.info is None


@pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq was built without CURVE")
def test_window_that_is_refused_says_why_and_what_to_do(tmp_path):
    with (
        Publisher("tcp://127.0.0.1:*", stream="aki", keys=make_server_keys(tmp_path / "keys")) as publisher,
        WireSource(publisher.endpoint) as source,
        Window(source, title="test", size=(800, 600), scale=1.0) as window,
    ):
        deadline = time.monotonic() + 60
        notice = ""
        while time.monotonic() < deadline and "bunraku keys add" not in notice:
            publisher.poll()
            window.step()
            time.sleep(0.01)
            notice = window._overlay._kept["notice"][0][0]
        assert source.link is LinkState.ERROR
        assert "talks only to clients with keys" in notice
