"""Between the stage and the world: the window's handover, the recorder, films, atomic files, the loop."""

from __future__ import annotations

import json
import signal
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine_bridge.avf.messages import ControlState
from engine_bridge.client.subscriber import Subscriber
from engine_bridge.clock import now_ns
from engine_bridge.errors import SinkError
from engine_bridge.frame import Frame
from runtime import atomic
from runtime.character.about import stream_info
from runtime.drivers.port import ControlPort
from runtime.drivers.table import open_drivers
from runtime.engines.synthetic import SyntheticEngine, synthetic_role
from runtime.live.loop import Act, LiveLoop
from runtime.live.performer import Performer
from runtime.live.settings import LiveSettings
from runtime.live.stage import Stage
from runtime.live.window_source import WindowSource
from runtime.signals import ending_signals
from runtime.sinks.films import Film, check_film_path, flatten, parse_colour, write_film
from runtime.sinks.recorder import Recorder

ROLE = synthetic_role(width=64, height=48)


def frame(number: int, *, at_ns: int = 0, control_id: int = 0, control_ns: int = 0) -> Frame:
    pixels = np.full((48, 64, 4), number % 256, np.uint8)
    return Frame(pixels, number, 1, "test", at_ns, at_ns, at_ns, control_id, control_ns, "test/test")


def source(port: ControlPort | None = None) -> WindowSource:
    info = stream_info(ROLE, session=1, stream="test", fps=60.0, provider="test", derived=False)
    return WindowSource(info, port or ControlPort("window"))


def test_the_window_gets_the_newest_frame_once() -> None:
    window = source()
    assert window.latest() is None
    for number in (1, 2, 3):
        window.put(frame(number))
    newest = window.latest()
    assert newest is not None
    assert (newest.frame_id, int(newest.pixels[0, 0, 0])) == (3, 3)
    assert window.latest() is None


def test_a_taken_frame_is_not_touched_until_the_next_is_taken() -> None:
    window = source()
    window.put(frame(1))
    held = window.latest()
    assert held is not None
    for number in range(2, 9):
        window.put(frame(number))
        assert (held.pixels == 1).all()
    again = window.latest()
    assert again is not None
    assert (again.pixels == 8).all()


def test_handing_over_from_another_thread_never_tears_a_frame() -> None:
    window = source()
    done = threading.Event()

    def feed() -> None:
        for number in range(2000):
            window.put(frame(number))
        done.set()

    thread = threading.Thread(target=feed)
    thread.start()
    last = -1
    while not done.is_set() or last < 1999:
        taken = window.latest()
        if taken is not None:
            assert taken.frame_id > last
            assert len(np.unique(taken.pixels)) == 1
            last = taken.frame_id
    thread.join()


def test_states_from_the_window_get_number_and_time_and_come_back_as_motion_to_photon() -> None:
    port = ControlPort("window")
    window = source(port)
    window.send(ControlState(controls={"jawOpen": 0.5}))
    window.send(ControlState(controls={"jawOpen": 0.6}))
    state = port.take(0)
    assert state is not None
    assert state.control_id == 2
    assert 0 < state.timestamp_ns <= now_ns()
    for number in (1, 2):
        window.put(frame(number, control_id=state.control_id, control_ns=state.timestamp_ns))
        window.latest()
    assert len(window.motion_to_photon) == 1


def test_no_pixels_are_allocated_per_frame() -> None:
    role = synthetic_role(width=256, height=256)
    window = WindowSource(
        stream_info(role, session=1, stream="t", fps=60.0, provider="t", derived=False), ControlPort("w")
    )
    with SyntheticEngine(role.controls, width=256, height=256) as engine:
        stage = Stage([Performer(role, engine, open_drivers([], role.idle))])
        for index in range(5):
            window.put(stage.tick(index * 16_000_000)[0])
        tracemalloc.start()
        try:
            for index in range(5, 60):
                window.put(stage.tick(index * 16_000_000)[0])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 256 * 256 * 4 // 4


def film(fps: float = 10.0, background: str = "#000000") -> Film:
    return Film(64, 48, fps, parse_colour(background), "AI-generated: a test <&>")


def test_a_recording_keeps_time_when_frames_are_missing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "frames", film(), ("jawOpen",))
    pose = np.zeros(1, np.float32)
    for number, tenth in ((10, 0), (20, 1), (50, 4), (60, 5)):
        recorder.offer(frame(number, at_ns=tenth * 100_000_000), pose)
    recorder.close()
    shades = []
    for picture in sorted((tmp_path / "frames").iterdir()):
        with Image.open(picture) as opened:
            shades.append(opened.getpixel((0, 0))[0])  # type: ignore[index]
    assert shades == [10, 20, 20, 20, 50, 60]
    assert recorder.written == 6


def test_controls_are_recorded_as_lines(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "take.jsonl", film(), ("jawOpen", "headYaw"))
    for number in range(3):
        recorder.offer(frame(number, at_ns=number * 50_000_000), np.array([0.25, number], np.float32))
    recorder.close()
    lines = [json.loads(line) for line in (tmp_path / "take.jsonl").read_text().splitlines()]
    assert lines[2] == {"t_s": 0.1, "controls": {"jawOpen": 0.25, "headYaw": 2.0}}


def test_a_place_that_cannot_be_recorded_to_is_reported_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "here").touch()
    (tmp_path / "folder.mp4").mkdir()
    wrong = {
        "take.avi": r"\.mp4 or \.webp",
        "taken": "not an empty folder",
        "folder.mp4": "is a folder",
        "nowhere/take.mp4": "does not exist",
        "nowhere/take.jsonl": "does not exist",
        "taken/here/take.mp4": "does not exist",
        f"{'long' * 100}.mp4": "too long",
        f"{'long' * 100}": "too long",
    }
    before = sorted(path.name for path in tmp_path.iterdir())
    for name, words in wrong.items():
        with pytest.raises(SinkError, match=words):
            Recorder(tmp_path / name, film(), ())
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no terminals that hang up")
def test_a_closed_terminal_ends_the_program_unless_nohup_ignores_it() -> None:
    assert signal.SIGHUP in ending_signals()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in ending_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_picture_is_laid_over_a_colour() -> None:
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 128]]], np.uint8)
    flat = flatten(pixels, (0, 50, 250), np.empty((1, 3, 3), np.uint8), np.empty((1, 3), np.uint16))
    assert flat.tolist() == [[[200, 100, 0], [0, 50, 250], [100, 75, 125]]]


@pytest.mark.parametrize("name", ["film.webp", "frames"])
def test_alpha_and_origin_survive(tmp_path: Path, name: str) -> None:
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[10:30, 10:50] = (250, 10, 20, 255)

    def frames() -> list[np.ndarray]:
        return [np.roll(pixels, shift, axis=1) for shift in range(5)]

    assert write_film(tmp_path / name, frames(), film()) == 5
    path = tmp_path / name if name != "frames" else tmp_path / name / "000004.png"
    with Image.open(path) as opened:
        words = opened.info.get("xmp", b"").decode() + opened.info.get("Description", "")
        assert "AI-generated: a test" in words
        opened.seek(getattr(opened, "n_frames", 1) - 1)
        last = np.asarray(opened.convert("RGBA")).astype(int)
    assert last[0, 0, 3] == 0
    assert last[20, 30, 3] == 255
    assert abs(last[20, 30, :3] - (250, 10, 20)).max() < 30
    if name == "film.webp":
        with Image.open(path) as opened:
            assert opened.n_frames == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["red!", "#12345", "", "#gg0000"])
def test_a_wrong_colour_is_explained(text: str) -> None:
    with pytest.raises(SinkError, match="#rrggbb"):
        parse_colour(text)


def test_places_are_checked_before_work_begins(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "film.mp4", tmp_path / "film.gif"):
        with pytest.raises(SinkError):
            check_film_path(path)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")

    def fail_halfway() -> None:
        with atomic.replacing(path) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "before"
    with atomic.replacing(path) as part:
        part.write_text("after")
    assert path.read_text() == "after"
    stale = tmp_path / ".file.999999999.part.txt"
    stale.write_text("killed")
    with atomic.replacing(path) as part:
        part.write_text("again")
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def live(tmp_path: Path, kind: type[SyntheticEngine] = SyntheticEngine, **settings: object) -> LiveLoop:
    engine = kind(ROLE.controls, width=64, height=48)
    engine.activate()
    performer = Performer(ROLE, engine, open_drivers([], ROLE.idle), session=5)
    return LiveLoop([Act([performer])], LiveSettings(**settings), window=False)  # type: ignore[arg-type]


def test_nobody_watching_means_nothing_is_drawn(tmp_path: Path) -> None:
    with live(tmp_path, seconds=0.3) as loop:
        loop.run()
    assert loop.error is None
    assert loop.report().frames == 0
    assert loop.report().first_frame_s is None


def test_a_loop_that_measures_draws_and_reports(tmp_path: Path) -> None:
    with live(tmp_path, seconds=0.3, measure=True, record=tmp_path / "take.jsonl") as loop:
        loop.run()
    report = loop.report()
    assert loop.error is None
    assert report.frames > 1
    assert report.recorded == len((tmp_path / "take.jsonl").read_text().splitlines()) > 1
    assert report.provider == "synthetic/numpy fp32"


def test_characters_of_different_sizes_share_a_stage(tmp_path: Path) -> None:
    acts = []
    for number, side in enumerate((64, 96)):
        role = synthetic_role(width=side, height=side)
        engine = SyntheticEngine(role.controls, width=side, height=side)
        engine.activate()
        drivers = open_drivers([], role.idle, person=number)
        acts.append(Act([Performer(role, engine, drivers, stream=f"of-{side}", session=number + 1)]))
    settings = LiveSettings(seconds=1.0, measure=True, publish="tcp://127.0.0.1:0", control="tcp://127.0.0.1:0")
    with LiveLoop(acts, settings, window=False) as loop:
        thread = threading.Thread(target=loop.run)
        thread.start()
        assert loop.publisher is not None
        for side in (64, 96):
            with Subscriber(loop.publisher.endpoint, stream=f"of-{side}") as subscriber:
                frame = subscriber.wait(10)
                assert frame is not None
                assert frame.pixels.shape == (side, side, 4)
        thread.join()
    assert loop.error is None
    report = loop.report()
    assert [stream.stream for stream in report.streams] == ["of-64", "of-96"]
    assert min(stream.frames for stream in report.streams) > 1
    assert len({stream.control_server.endpoint for stream in loop.streams if stream.control_server}) == 2


class LateEngine(SyntheticEngine):
    """Takes half a second for its first frame, like reading a person."""

    def activate(self) -> None:
        super().activate()
        self.delay_s = 0.5

    def infer(self, *arguments: Any) -> None:
        super().infer(*arguments)
        time.sleep(getattr(self, "delay_s", 0.0))
        self.delay_s = 0.0


def test_frames_before_the_first_are_not_dropped_ones(tmp_path: Path) -> None:
    with live(tmp_path, LateEngine, seconds=0.5, measure=True) as loop:
        loop.run()
    assert loop.error is None
    assert loop.report().dropped < 15  # 30 periods pass before the first


class SlowEngine(SyntheticEngine):
    """Takes 21 ms, which is too long for 60 frames per second and well within 40."""

    def infer(self, *arguments: Any) -> None:
        super().infer(*arguments)
        time.sleep(0.021)


def test_a_machine_that_is_too_slow_settles_on_fewer_frames_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with live(tmp_path, SlowEngine, seconds=6.0, measure=True) as loop:
        loop.run()
    report = loop.report()
    assert loop.error is None
    assert report.target_fps == 60
    assert report.steady_fps in (40, 30, 24)  # 40 on a quiet machine
    assert "this machine cannot sustain 60" in caplog.text


def test_an_engine_that_fails_ends_the_loop_with_its_error(tmp_path: Path) -> None:
    with live(tmp_path, seconds=5.0, measure=True) as loop:
        loop.streams[0].performer.engine.deactivate()
        loop.run()
    assert "not active" in str(loop.error)
