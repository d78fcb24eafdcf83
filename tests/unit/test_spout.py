"""Spout without Windows: names, pixels and the thread, with a recording sender."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from engine_bridge.errors import SinkError
from runtime.sinks.base import Show
from runtime.sinks.spout import GL_RGBA, open_spout
from runtime.sinks.table import open_sink

SHOW = Show(width=6, height=4)

pytestmark = pytest.mark.timeout(60)


class Sender:
    """The part of `SpoutGL.SpoutSender` in use."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.name = ""
        self.sent: list[tuple[object, ...]] = []
        self.arrived = threading.Event()
        self.threads: set[str] = set()
        self.released = False

    def setSenderName(self, name: str) -> None:  # noqa: N802
        self.threads.add(threading.current_thread().name)
        self.name = name

    def sendImage(self, *arguments: object) -> bool:  # noqa: N802
        self.threads.add(threading.current_thread().name)
        pixels, *others = arguments
        # Like the library: copies the bytes of a contiguous buffer immediately.
        self.sent.append((bytes(memoryview(pixels).cast("B")), *others))  # type: ignore[arg-type]
        self.arrived.set()
        return self.works

    def releaseSender(self) -> None:  # noqa: N802
        self.threads.add(threading.current_thread().name)
        self.released = True


def test_straight_alpha_is_sent_row_by_row_from_the_top_in_one_thread() -> None:
    sender = Sender()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    spout = open_spout("Aki", SHOW, make_sender=lambda: sender)
    spout.offer(pixels)
    assert sender.arrived.wait(30)
    spout.close()
    assert sender.name == "Aki"
    assert sender.sent == [(pixels.tobytes(), 6, 4, GL_RGBA, False, 0)]
    assert sender.released
    assert sender.threads == {"bunraku-spout"}
    assert spout.label == "Spout Aki"


def test_a_sender_that_cannot_share_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(works=False)
    spout = open_spout("Aki", SHOW, make_sender=lambda: sender)
    spout.offer(np.zeros((4, 6, 4), np.uint8))
    assert sender.arrived.wait(30)
    spout.close()
    assert spout.failed
    assert "the graphics card that the receiver uses" in caplog.text
    assert sender.released


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 256, "\0"])
def test_a_name_that_spout_cannot_have_is_explained(name: str) -> None:
    with pytest.raises(SinkError, match="cannot name a Spout sender"):
        open_spout(name, SHOW, make_sender=Sender)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has Spout")
def test_other_systems_are_told_what_they_have_instead() -> None:
    with pytest.raises(SinkError, match="--to camera:auto"):
        open_sink("spout:Aki", SHOW)
