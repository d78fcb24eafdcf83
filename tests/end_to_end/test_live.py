"""`bunraku live` and `view` as users start them: real processes, sockets and windows."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine_bridge.avf.messages import ControlState
from engine_bridge.client.control_client import ControlClient
from engine_bridge.client.subscriber import Subscriber
from tests.bunraku_program import ANYWHERE, BUNRAKU, CARD, ENVIRONMENT, NOWHERE, last_line, playing, run
from tests.conftest import RunProgram
from tests.tiny_character import write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("character") / "tiny.bunraku", side=64)


def test_live_reports_what_it_did(run_program: RunProgram) -> None:
    out, _ = run(run_program, *CARD, *ANYWHERE, "--seconds", "2", "--json")
    report = last_line(out)
    assert report["command"] == "live"
    assert report["provider"] == "synthetic/numpy fp32"
    assert report["frames"] >= 5
    assert report["frames"] + report["dropped"] <= 125
    assert report["first_frame_s"] > 0
    assert 0 < report["rss_mb"] <= 250
    assert report["engine_ms_p50"] > 0


def test_a_character_plays_without_the_tools_that_live_does_not_need(tiny: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from runtime.cli.app import app\n"
        f"sys.argv = ['bunraku', 'live', {str(tiny)!r}, '--engine', 'onnxruntime', '--no-window', '--seconds', '0.5', "
        "'--publish', 'off', '--control', 'off', '--json']\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "found = {'torch', 'pygame', 'PIL', 'onnx', 'openvino'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    assert ended.returncode == 0, ended.stderr
    report = last_line(ended.stdout)
    assert report["provider"] == "onnxruntime/CPU fp32"
    assert report["rss_mb"] <= 250


def test_several_characters_play_at_once_each_under_the_name_of_its_file(
    run_program: RunProgram, tiny: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.bunraku"
    other.write_bytes(tiny.read_bytes())
    command = [*BUNRAKU, "live", tiny, other, "--engine", "onnxruntime", "--no-window", *NOWHERE]
    done = run_program([*command, "--seconds", "0.5", "--json"], environment=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert [stream["stream"] for stream in last_line(done.stdout)["streams"]] == [tiny.stem, "other"]
    for wrong in ([tiny, tiny], [tiny, other, "--people", "a,b"], [tiny, other, "--stream", "x"]):
        done = run_program([*BUNRAKU, "live", "--no-window", *wrong], environment=ENVIRONMENT)
        assert done.returncode == 2, (wrong, done.stderr)


def test_a_subscriber_sees_and_moves_a_live_character(tmp_path: Path) -> None:
    with playing(*CARD, *ANYWHERE, cwd=tmp_path) as (process, frames_at, controls_at):
        with Subscriber(frames_at) as subscriber, ControlClient(controls_at, name="test") as client:
            frame = subscriber.wait(60)
            assert frame is not None, "nobody drew, although somebody watched"
            assert frame.pixels.shape == (256, 256, 4)
            assert frame.provider == "synthetic/numpy fp32"
            before = frame.frame_id
            deadline = time.monotonic() + 60
            while client.info is None and time.monotonic() < deadline:
                time.sleep(0.05)
            info = client.info
            assert info is not None
            assert "jawOpen" in {spec.name for spec in info.controls}
            assert "eyeLookUpLeft" in {spec.name for spec in info.controls if spec.group == "derived"}
            client.send(ControlState(controls={"jawOpen": 1.0}, identity="rose"))
            while (frame.control_id == 0 or frame.frame_id == before) and time.monotonic() < deadline:
                frame = subscriber.wait(10) or frame
            assert frame.control_id > 0
            assert frame.control_timestamp_ns > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_a_signal_ends_the_play_and_completes_the_recording(tmp_path: Path, number: signal.Signals) -> None:
    with playing(*CARD, *NOWHERE, "--record", "take.jsonl", "--json", cwd=tmp_path) as (process, _, _):
        time.sleep(1.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err
    report = last_line(out)
    lines = (tmp_path / "take.jsonl").read_text().splitlines()
    assert len(lines) == report["recorded"] > 0
    assert set(json.loads(lines[0])["controls"]) >= {"jawOpen", "headYaw"}
    assert [file.name for file in tmp_path.iterdir()] == ["take.jsonl"]


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells a missing display by the environment"
)
def test_live_without_a_display_says_what_to_do(run_program: RunProgram, tmp_path: Path) -> None:
    nothing = {"DISPLAY": None, "WAYLAND_DISPLAY": None, "SDL_VIDEODRIVER": None}
    environment: dict[str, str | None] = {**nothing, "PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    ended = run_program(
        [*BUNRAKU, "live", "--engine", "synthetic"], timeout_s=120, cwd=tmp_path, environment=environment
    )
    assert ended.returncode == 1
    assert "--no-window" in ended.stderr


def test_live_shows_a_window_and_ends_by_itself(run_program: RunProgram, tmp_path: Path) -> None:
    arguments = ["live", "--engine", "synthetic", *NOWHERE, "--seconds", "2", "--json"]
    out, _ = run(run_program, *arguments, cwd=tmp_path)
    assert last_line(out)["frames"] >= 2


def test_view_shows_a_stream_of_another_process(run_program: RunProgram, tmp_path: Path) -> None:
    with playing(*CARD, *ANYWHERE, cwd=tmp_path) as (process, frames_at, _):
        out, _ = run(run_program, "view", frames_at, "--seconds", "2", cwd=tmp_path)
        assert frames_at in out
        assert process.poll() is None
