"""A faster engine takes over while a subscriber watches; a failing one leaves the show unaffected."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine_bridge.client.subscriber import Subscriber
from engine_bridge.errors import EngineBuildError
from engine_bridge.frame import Frame
from runtime.character.file import Character
from runtime.drivers.table import open_drivers
from runtime.engines.choice import open_engine
from runtime.engines.factory import Candidate, EngineSettings
from runtime.engines.table import availability
from runtime.engines.upgrade import EngineUpgrade, build_in_process
from runtime.live.loop import Act, LiveLoop
from runtime.live.performer import Performer
from runtime.live.settings import LiveSettings
from tests.tiny_character import write_tiny

SETTINGS = EngineSettings(threads=1)
FASTER = Candidate("openvino", "fp32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("swap") / "tiny.bunraku", side=64)


@contextmanager
def on_stage(tiny: Path, upgrade: EngineUpgrade) -> Iterator[tuple[LiveLoop, Subscriber]]:
    """A live loop on ONNX Runtime in a thread, and a subscriber."""
    with Character.open(tiny) as character:
        choice = open_engine("onnxruntime", character, precision="fp32", settings=SETTINGS)
    performer = Performer(choice.role, choice.engine, open_drivers([], choice.role.idle), session=1)
    settings = LiveSettings(publish="tcp://127.0.0.1:0")
    with choice, LiveLoop([Act([performer], upgrade)], settings, window=False) as loop:
        assert loop.publisher is not None
        thread = threading.Thread(target=loop.run, daemon=True)
        with Subscriber(loop.publisher.endpoint) as subscriber:
            thread.start()
            try:
                yield loop, subscriber
            finally:
                loop.stop()
                thread.join(30)
        assert loop.error is None


def watch(subscriber: Subscriber, until: Callable[[Frame], bool]) -> list[tuple[int, str, bool]]:
    """(number, provider, whether there is a picture) of every frame, up to the first for which `until` holds."""
    seen = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        frame = subscriber.wait(5)
        if frame is None:
            continue
        seen.append((frame.frame_id, frame.provider, len(np.unique(frame.pixels)) > 2))
        if until(frame):
            return seen
    pytest.fail(f"the awaited frame did not come; last seen {seen[-3:]}")


def test_the_faster_engine_takes_over_between_two_frames(tiny: Path) -> None:
    if reason := availability()["openvino"]:
        pytest.skip(f"openvino: {reason}")
    hold = threading.Event()
    # Like a TensorRT engine: a long build first, then loading.
    upgrade = EngineUpgrade(tiny, [FASTER], SETTINGS, begin=hold)
    with upgrade, on_stage(tiny, upgrade) as (loop, subscriber):
        before = watch(subscriber, lambda frame: frame.frame_id >= 10)
        assert {provider for _, provider, _ in before} == {"onnxruntime/CPU fp32"}
        hold.set()
        seen = watch(subscriber, lambda frame: frame.provider.startswith("openvino"))
        seen += watch(subscriber, lambda frame: frame.frame_id >= seen[-1][0] + 10)
        last = seen[-1][0]
    numbers = [number for number, _, _ in before + seen]
    assert numbers == sorted(set(numbers))
    providers = [provider for _, provider, _ in before + seen]
    change = providers.index("openvino/CPU fp32")
    assert set(providers[:change]) == {"onnxruntime/CPU fp32"}
    assert set(providers[change:]) == {"openvino/CPU fp32"}
    assert all(whole for _, _, whole in before + seen)
    report = loop.report()
    assert report.engine_swaps == 1
    assert report.provider == "openvino/CPU fp32"
    assert report.frames >= last  # every number was a frame: none was left out


def test_one_that_fails_is_reported_and_the_next_is_tried(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    if reason := availability()["openvino"]:
        pytest.skip(f"openvino: {reason}")
    upgrade = EngineUpgrade(tiny, [Candidate("openvino", "int8"), FASTER], SETTINGS)  # it has no int8 generator
    with caplog.at_level(logging.WARNING), upgrade, on_stage(tiny, upgrade) as (_, subscriber):
        watch(subscriber, lambda frame: frame.provider == "openvino/CPU fp32")
    assert "openvino int8 cannot be used, going on with what plays" in caplog.text


def test_when_all_fail_the_show_goes_on(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    if not (reason := availability()["tensorrt"]):
        pytest.skip("TensorRT works here")
    upgrade = EngineUpgrade(tiny, [Candidate("tensorrt", "fp32")], SETTINGS)
    with caplog.at_level(logging.WARNING), upgrade, on_stage(tiny, upgrade) as (loop, subscriber):
        deadline = time.monotonic() + 90
        while upgrade.searching and time.monotonic() < deadline:
            time.sleep(0.05)
        seen = watch(subscriber, lambda frame: frame.frame_id >= 5)
    assert "tensorrt fp32 failed" in upgrade.note
    assert reason.partition(";")[0] in caplog.text
    assert {provider for _, provider, _ in seen} == {"onnxruntime/CPU fp32"}
    assert loop.report().engine_swaps == 0


def test_a_build_that_fails_in_its_process_reports_its_reason(tiny: Path) -> None:
    if not (reason := availability()["tensorrt"]):
        pytest.skip("TensorRT works here")
    with pytest.raises(EngineBuildError) as caught:
        build_in_process(tiny, Candidate("tensorrt", "fp32"), lambda _: None, threading.Event())
    assert reason.partition(";")[0] in str(caught.value)


def test_a_build_that_is_no_longer_wanted_is_ended(tiny: Path) -> None:
    stop = threading.Event()
    stop.set()
    began = time.monotonic()
    build_in_process(tiny, Candidate("tensorrt", "fp32"), lambda _: None, stop)
    assert time.monotonic() - began < 60
