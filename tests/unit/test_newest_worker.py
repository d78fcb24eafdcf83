"""A sink with its own thread: newest picture wins, nothing blocks, a failure is reported once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from engine_bridge.errors import SinkError
from engine_bridge.frame import Pixels
from runtime.sinks.worker import NewestWorker, SinkReport

pytestmark = pytest.mark.timeout(60)


class Screen:
    """Takes a picture whenever `gate` allows, and stores its shade."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.busy = threading.Event()
        self.shades: list[int] = []
        self.threads: set[str] = set()
        self.closed = False
        self.breaks = False

    label = "screen"

    def send(self, pixels: Pixels) -> None:
        self.busy.set()
        self.threads.add(threading.current_thread().name)
        assert self.gate.acquire(timeout=30)
        if self.breaks:
            raise OSError("the cable was pulled")
        assert len(np.unique(pixels)) == 1
        self.shades.append(int(pixels[0, 0, 0]))

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True


def picture(shade: int) -> Pixels:
    return np.full((6, 8, 4), shade, np.uint8)


def start(screen: Screen) -> NewestWorker:
    return NewestWorker("test-sink", lambda: screen, width=8, height=6)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_busy_sink_is_shown_the_newest_picture_next_and_none_between() -> None:
    screen = Screen()
    worker = start(screen)
    worker.offer(picture(1))
    assert screen.busy.wait(30)
    for shade in range(2, 100):
        worker.offer(picture(shade))
    screen.gate.release(2)
    wait_until(lambda: len(screen.shades) == 2)
    worker.close()
    assert screen.shades == [1, 99]
    assert worker.report == SinkReport("screen", sent=2, skipped=97, error="")


def test_the_caller_may_overwrite_its_picture_at_once() -> None:
    screen = Screen()
    worker = start(screen)
    pixels = picture(7)
    worker.offer(pixels)
    pixels[:] = 8
    screen.gate.release()
    wait_until(lambda: screen.shades)
    worker.close()
    assert screen.shades == [7]


def test_a_sink_lives_in_one_thread() -> None:
    opened: list[str] = []
    screen = Screen()

    def open_sink() -> Screen:
        opened.append(threading.current_thread().name)
        return screen

    worker = NewestWorker("test-sink", open_sink, width=8, height=6)
    screen.gate.release()
    worker.offer(picture(1))
    wait_until(lambda: screen.shades)
    worker.close()
    assert opened == ["test-sink"]
    assert screen.threads == {"test-sink"}
    assert screen.closed


def test_closing_does_not_wait_for_pictures_that_nobody_offered() -> None:
    screen = Screen()
    start(screen).close()
    assert screen.closed
    assert screen.shades == []


def test_closing_abandons_a_sink_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    screen = Screen()
    worker = start(screen)
    worker.offer(picture(1))
    assert screen.busy.wait(30)
    worker.close()
    assert "screen hangs" in caplog.text
    screen.gate.release()  # released, so that the thread ends with the test
    wait_until(lambda: screen.closed)


def test_a_sink_that_fails_is_reported_once_and_offers_stay_harmless(caplog: pytest.LogCaptureFixture) -> None:
    screen = Screen()
    screen.breaks = True
    worker = start(screen)
    screen.gate.release(50)
    with caplog.at_level(logging.WARNING):
        for shade in range(50):
            worker.offer(picture(shade))
        wait_until(lambda: worker.failed)
        for shade in range(50):
            worker.offer(picture(shade))
        worker.close()
    assert [record.getMessage() for record in caplog.records] == [
        "screen has failed and shows nothing more: the cable was pulled"
    ]
    assert worker.report.sent == 0
    assert worker.report.error == "the cable was pulled"
    assert screen.closed


def test_a_sink_that_cannot_be_opened_is_an_error_at_once() -> None:
    def refuse() -> Screen:
        raise SinkError("no such device")

    def break_down() -> Screen:
        raise OSError(19, "gone")

    with pytest.raises(SinkError, match="no such device"):
        NewestWorker("test-sink", refuse, width=8, height=6)
    with pytest.raises(SinkError, match=r"test-sink cannot be opened: OSError\(19, 'gone'\)"):
        NewestWorker("test-sink", break_down, width=8, height=6)
    assert "test-sink" not in {thread.name for thread in threading.enumerate()}


def test_every_picture_is_whole_while_both_sides_run_freely() -> None:
    screen = Screen()
    screen.gate.release(1_000_000)
    worker = start(screen)
    for number in range(3000):
        worker.offer(picture(number % 251))
    wait_until(lambda: worker.report.sent + worker.report.skipped == 3000)
    worker.close()
    assert worker.report.error == ""
    assert screen.shades[-1] == 2999 % 251
