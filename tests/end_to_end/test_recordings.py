"""A recording when something else fails: it is kept, it plays, and the picture continues."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from engine_bridge.errors import SinkError
from engine_bridge.frame import Frame
from runtime.sinks import unfinished
from runtime.sinks.films import Film, ffmpeg_path
from runtime.sinks.recorder import STALL_S, Recorder
from tests.bunraku_program import BUNRAKU, CARD, ENVIRONMENT, NOWHERE, run
from tests.conftest import REPOSITORY, RunProgram

SIDE = 96
FPS = 30.0
PACE = 4  # times faster than it will be shown
FILM = Film(SIDE, SIDE, FPS, (0, 0, 0), "AI-generated: a test")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
RECORD = [*CARD, *NOWHERE, "--record"]


def frames_in(film: Path) -> int:
    """Number of frames in a film; fails if it does not play cleanly to its end."""
    decoded = subprocess.run(
        [ffmpeg_path(), "-v", "error", "-i", f"file:{film}", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert decoded.stderr == b"", decoded.stderr
    size = re.search(rb"Video: .*?, (\d+)x(\d+)", about(film))
    assert size is not None
    return len(decoded.stdout) // (int(size[1]) * int(size[2]))


def about(film: Path) -> bytes:
    """ffmpeg's description of a film."""
    told = subprocess.run([ffmpeg_path(), "-i", f"file:{film}"], capture_output=True, check=False, timeout=60)
    return told.stderr


def eventually(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


class Show:
    """Offers frames to a recorder like a live loop, and records the longest call."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.longest_s = 0.0
        self._number = 0
        self._pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 4), np.uint8)

    def play(self, seconds: float) -> None:
        """Play for this many seconds of the film."""
        for _ in range(round(seconds * FPS)):
            self.step()

    def play_until(self, condition: Callable[[], bool]) -> None:
        """Play until a condition holds."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            self.step()

    def step(self) -> None:
        """One frame, entirely changed, so that an encoder has work to do."""
        self._number += 1
        at_ns = round(self._number * 1e9 / FPS)
        self._pixels += np.uint8(1)
        frame = Frame(self._pixels, self._number, 1, "test", at_ns, at_ns, at_ns, 0, 0, "test/test")
        begun = time.monotonic()
        self.recorder.offer(frame, np.zeros(1, np.float32))
        self.longest_s = max(self.longest_s, time.monotonic() - begun)
        time.sleep(1 / (PACE * FPS))


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    recorder = Recorder(tmp_path / "take.mp4", FILM, ("jawOpen",))
    yield Show(recorder)
    if recorder._encoder is not None and recorder._encoder.poll() is None:
        recorder._encoder.kill()
        recorder._encoder.wait(10)


def encoder_of(show: Show) -> subprocess.Popen[bytes]:
    """Its process, once it writes."""
    part = show.recorder._part
    show.play_until(lambda: part.stat().st_size > 10_000)  # a fragment
    assert show.recorder._encoder is not None
    return show.recorder._encoder


@posix
def test_a_recording_of_a_killed_process_is_seen_plays_and_is_never_deleted(
    run_program: RunProgram, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*BUNRAKU, *RECORD, str(tmp_path / "take.mp4")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    part = tmp_path / f"take.unfinished-{process.pid}.mp4"
    eventually(lambda: part.exists() and part.stat().st_size > 10_000)
    (encoder,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait(30)
    psutil.wait_procs([encoder], timeout=60)
    assert not encoder.is_running(), "the encoder is left behind"
    whole = frames_in(part)
    assert whole > 30
    (tmp_path / "take.mp4").write_bytes(b"an older take")
    _, err = run(run_program, *RECORD, tmp_path / "take.mp4", "--seconds", "0.5")
    assert f"{part} is left from a recording that was not completed; it is kept" in err
    assert "take.mp4 exists; it is replaced when this recording is complete" in err
    assert frames_in(part) == whole
    assert frames_in(tmp_path / "take.mp4") > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take.mp4", part.name]


@posix
def test_an_encoder_that_hangs_is_told_at_once_and_keeps_neither_the_picture_nor_the_end_waiting(
    show: Show, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    encoder = encoder_of(show)
    encoder.send_signal(signal.SIGSTOP)
    show.play_until(lambda: "skipped so far" in caplog.text)
    assert show.recorder.missed > 0
    assert show.longest_s < 0.5, "the live loop waited for the encoder"
    begun = time.monotonic()
    with pytest.raises(SinkError, match=r"hung and was killed\. What was recorded until then is kept in take\.unfin"):
        show.recorder.close()
    assert time.monotonic() - begun < STALL_S + 5
    assert encoder.wait(10) != 0
    assert frames_in(show.recorder._part) > 0
    assert not (tmp_path / "take.mp4").exists()


@posix
def test_an_encoder_that_only_paused_loses_no_time_of_the_film(show: Show, tmp_path: Path) -> None:
    encoder = encoder_of(show)
    encoder.send_signal(signal.SIGSTOP)
    show.play_until(lambda: show.recorder.missed > 20)
    encoder.send_signal(signal.SIGCONT)
    show.play(1.5)
    show.recorder.close()
    assert frames_in(tmp_path / "take.mp4") == show.recorder.written >= show._number - show.recorder.missed


def test_an_encoder_that_dies_is_reported_at_once_and_what_it_wrote_plays(
    show: Show, caplog: pytest.LogCaptureFixture
) -> None:
    encoder_of(show).kill()
    show.play_until(lambda: show.recorder.failed)
    assert "The encoder could not write take.mp4" in caplog.text
    assert "is kept in take.unfinished-" in caplog.text
    show.play(1.0)
    with pytest.raises(SinkError, match="is kept in take"):
        show.recorder.close()
    assert frames_in(show.recorder._part) > 0


@posix
@pytest.mark.parametrize("program", ["/nowhere/ffmpeg", "true", "false"])
def test_a_program_that_is_not_an_encoder_is_reported(
    run_program: RunProgram, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", shutil.which(program) or program)
    _, err = run(run_program, *RECORD, tmp_path / "take.mp4", "--seconds", "1", code=1)
    assert ("is not a program" if "/" in program else "The encoder could not write take.mp4") in err
    assert "Nothing of it could be kept" in err
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("name", ["take.mp4", "take.jsonl", "take"])
def test_a_place_that_vanishes_is_reported_at_once(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "place"
    place.mkdir()
    show = Show(Recorder(place / name, FILM, ("jawOpen",)))
    show.play_until(lambda: show.recorder.written > 5)
    shutil.rmtree(place)
    show.play_until(lambda: show.recorder.failed)
    assert "deleted or moved away" in caplog.text or "No such file" in caplog.text
    with pytest.raises(SinkError):
        show.recorder.close()


@posix
@pytest.mark.parametrize(
    "name", ["-y.mp4", "take:1.mp4", "a [b] %d 'c'.mp4", "ta.ke.MP4", "\u4eba\u5f62.mp4", "-i", "-i.webp"]
)
def test_a_recording_may_have_any_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    show = Show(Recorder(Path(name), FILM, ("jawOpen",)))
    show.play_until(lambda: show.recorder.written > 3)
    show.recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 5), (33, 17), (640, 3)])
def test_odd_frame_sizes_are_recorded(tmp_path: Path, width: int, height: int) -> None:
    recorder = Recorder(tmp_path / "take.mp4", Film(width, height, FPS, (0, 0, 0), "a test"), ())
    for number in range(1, 8):
        pixels = np.full((height, width, 4), 20 * number, np.uint8)
        at_ns = round(number * 1e9 / FPS)
        recorder.offer(Frame(pixels, number, 1, "t", at_ns, at_ns, at_ns, 0, 0, "t"), np.zeros(0, np.float32))
    recorder.close()
    assert frames_in(tmp_path / "take.mp4") == 7


def test_a_film_torn_at_any_place_plays_up_to_there(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "take.mp4", FILM, ("jawOpen",))
    show = Show(recorder)
    encoder = encoder_of(show)
    part = recorder._part
    show.play_until(lambda: part.stat().st_size > 100_000)
    encoder.kill()
    encoder.wait(10)
    whole = part.read_bytes()
    with pytest.raises(SinkError):
        recorder.close()
    first = frames_in(part)
    for left in np.linspace(len(whole) // 2, len(whole), 4).astype(int):
        torn = tmp_path / "torn.mp4"
        torn.write_bytes(whole[:left])
        unfinished.cut_to_whole_fragments(torn)
        assert 0 < frames_in(torn) <= first


def test_what_processes_left_is_found_and_what_others_write_is_not(tmp_path: Path) -> None:
    path = tmp_path / "take [1].mp4"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(60)
    for number in (f"{dead.pid}", f"{dead.pid}-2", f"{os.getppid()}", "", "x"):
        (tmp_path / f"take [1].unfinished-{number}.mp4").write_bytes(b"pictures")
    (tmp_path / f"take 1.unfinished-{dead.pid}.mp4").write_bytes(b"of another")
    empty = tmp_path / f"take [1].unfinished-{dead.pid}-3.mp4"
    empty.touch()
    os.utime(empty, (1, 1))
    ours = unfinished.begin(path, folder=False)
    earlier = tmp_path / f"take [1].unfinished-{os.getpid()}-7.mp4"  # in a container, where numbers come again
    earlier.write_bytes(b"pictures")
    os.utime(earlier, (1, 1))
    names = [f"{dead.pid}-2", f"{dead.pid}", f"{os.getpid()}-7"]
    assert sorted(unfinished.left_over(path)) == sorted(tmp_path / f"take [1].unfinished-{n}.mp4" for n in names)
    assert ours.exists()
    assert not empty.exists()
    assert unfinished.begin(path, folder=False) != ours


def test_two_recordings_of_one_name_at_the_same_time_are_both_kept(
    show: Show, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    show.play(0.5)
    (tmp_path / "take.mp4").write_bytes(b"completed meanwhile by another program")
    show.recorder.close()
    assert "take-2.mp4" in caplog.text
    assert show.recorder.path == tmp_path / "take-2.mp4"
    assert frames_in(tmp_path / "take-2.mp4") > 10
    assert (tmp_path / "take.mp4").read_bytes().startswith(b"completed")


@posix
def test_a_terminal_that_hangs_up_twice_does_not_cut_the_recording_short(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*BUNRAKU, *RECORD, str(tmp_path / "take.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    part = tmp_path / f"take.unfinished-{process.pid}.mp4"
    eventually(lambda: part.exists() and part.stat().st_size > 1_000)
    while process.poll() is None:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    out, err = process.communicate(timeout=30)
    assert [path.name for path in tmp_path.iterdir()] == ["take.mp4"], err
    assert frames_in(tmp_path / "take.mp4") > 1
    assert "wrote" in out or process.returncode < 0  # the last signal may come when all is done


def test_pictures_are_there_before_the_recording_ends(tmp_path: Path) -> None:
    show = Show(Recorder(tmp_path / "take", FILM, ("jawOpen",)))
    show.play_until(lambda: show.recorder.written > 10)
    for picture in sorted(show.recorder._part.iterdir())[:5]:
        with Image.open(picture) as opened:
            assert opened.size == (SIDE, SIDE)
    show.recorder.close()
    assert len(list((tmp_path / "take").iterdir())) == show.recorder.written


@pytest.mark.skipif(
    sys.platform != "linux"
    or os.geteuid() != 0
    or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="filling a disk of its own needs Linux, `unshare` and root",
)
def test_a_full_disk_is_told_at_once_while_the_picture_goes_on(run_program: RunProgram, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.end_to_end.test_recordings import *\n"
        "recorder = Recorder(Path(sys.argv[1]) / 'take.mp4', FILM, ('jawOpen',)); show = Show(recorder)\n"
        "show.play_until(lambda: recorder.failed); print('told while it plays', flush=True); show.play(0.5)\n"
        "print('longest', show.longest_s < 0.5, frames_in(recorder._part) > 10)\n"
        "try: recorder.close()\n"
        "except SinkError as error: print(error)\n"
    )
    inside = 'mount -t tmpfs -o size=200k tmpfs "$0" && exec "$1" -c "$2" "$0"'
    ended = run_program(
        ["unshare", "-m", "sh", "-c", inside, tmp_path, sys.executable, code],
        cwd=REPOSITORY,
        environment={"PYTHONPATH": str(REPOSITORY)},
    )
    assert ended.returncode == 0, ended.stderr
    told, longest, error = ended.stdout.splitlines()
    assert told == "told while it plays"
    assert longest == "longest True True"
    assert "No space left on device" in error
    assert "is kept in take.unfinished-" in error
    assert "No space left on device" in ended.stderr


@posix
def test_a_render_whose_encoder_hangs_can_be_interrupted(tmp_path: Path) -> None:
    """In a separate process, since Ctrl-C goes to the main thread."""
    code = (
        "import os, signal, threading, numpy as np; from pathlib import Path\n"
        "import psutil; from runtime.sinks.films import write_film\n"
        "from tests.end_to_end.test_recordings import FILM, SIDE\n"
        "def frames():\n"
        "    for index in range(10_000):\n"
        "        if index == 20:\n"
        "            psutil.Process().children()[0].suspend()\n"
        "            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "        yield np.zeros((SIDE, SIDE, 4), np.uint8)\n"
        "try: write_film(Path('film.mp4'), frames(), FILM)\n"
        "except KeyboardInterrupt: print('interrupted', psutil.Process().children())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    assert ended.stdout == "interrupted []\n", ended.stderr
    assert list(tmp_path.iterdir()) == []
