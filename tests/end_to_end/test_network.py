"""`bunraku keys`, `bunraku streams`, and their effect on `live` and `view`: the real programs and sockets."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from engine_bridge import ControlClient, LinkState, Subscriber
from engine_bridge.access.discovery import find_endpoint
from engine_bridge.access.keys import default_folder, read_client_keys
from tests.bunraku_program import ANYWHERE, CARD, ENVIRONMENT, last_line, playing, run
from tests.conftest import RunProgram

PATIENCE_S = 60.0

needs_curve = pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq was built without CURVE")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of this test for streams and keys, also for the programs it starts."""
    for variable in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
        monkeypatch.setitem(ENVIRONMENT, variable, str(tmp_path / variable))


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_keys_are_made_listed_and_removed(run_program: RunProgram, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    out, _ = run(run_program, "keys", "init", folder)
    public = re.search(r"public key (\S{40})", out)
    assert public
    run(run_program, "keys", "add", "laptop", folder, cwd=tmp_path)
    client = read_client_keys(tmp_path / "laptop.client.toml")
    assert client.server == public[1]
    out, _ = run(run_program, "keys", "list", folder, "--json")
    assert last_line(out)["clients"] == {"laptop": client.public}
    run(run_program, "keys", "remove", "laptop", folder)
    out, _ = run(run_program, "keys", "list", folder, "--json")
    assert last_line(out) == {"command": "keys list", "server": public[1], "clients": {}}
    run(run_program, "keys", "add", "laptop", folder, "--public", client.public)
    _, err = run(run_program, "keys", "add", "laptop", folder, "--public", client.public, code=1)
    assert "--force" in err
    _, err = run(run_program, "keys", "init", folder, code=1)
    assert "--force" in err


@pytest.mark.skipif(os.name != "posix", reason="the folder of settings is not set by a variable here")
def test_keys_lie_in_the_users_settings_unless_told_otherwise(run_program: RunProgram, tmp_path: Path) -> None:
    run(run_program, "keys", "init")
    run(run_program, "keys", "add", "laptop", cwd=tmp_path)
    assert (default_folder() / "clients" / "laptop.toml").is_file()


@needs_curve
def test_stream_with_keys_is_seen_and_moved_by_who_has_one(run_program: RunProgram, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    run(run_program, "keys", "init", folder)
    run(run_program, "keys", "add", "game", folder, cwd=tmp_path)
    keys = read_client_keys(tmp_path / "game.client.toml")
    everywhere = ["--publish", "tcp://0.0.0.0:0", "--control", "tcp://0.0.0.0:0"]
    with playing(*CARD, *everywhere, "--keys", folder, "--stream", "aki", cwd=tmp_path):
        place = find_endpoint("aki")
        assert place.server_key == keys.server
        with Subscriber(place.frames, keys=keys) as subscriber, Subscriber(place.frames) as stranger:
            assert subscriber.wait(PATIENCE_S) is not None
            eventually(lambda: subscriber.control_endpoint)
            with ControlClient(subscriber.control_endpoint or "", keys=keys) as client:
                info = client.wait_for_info(PATIENCE_S)
                assert info is not None
                assert info.stream == "aki"
            eventually(lambda: stranger.state is LinkState.ERROR)
            assert stranger.statistics.received == 0
        _, err = run(run_program, "view", "aki", "--seconds", "1", code=1)
        assert "--key FILE" in err
        out, err = run(
            run_program, "view", "aki", "--key", tmp_path / "game.client.toml", "--variant", "lz4", "--seconds", "1"
        )
        assert place.frames in out
        assert err == ""


def test_keys_must_be_there_and_not_beside_insecure(run_program: RunProgram, tmp_path: Path) -> None:
    _, err = run(run_program, *CARD, *ANYWHERE, "--keys", "none", cwd=tmp_path, code=1)
    assert "bunraku keys init" in err
    _, err = run(run_program, *CARD, *ANYWHERE, "--keys", "none", "--insecure", cwd=tmp_path, code=2)
    assert "exclude each other" in err


def test_insecure_start_is_allowed_and_logged(run_program: RunProgram, tmp_path: Path) -> None:
    everywhere = ["--publish", "tcp://0.0.0.0:0", "--control", "tcp://0.0.0.0:0"]
    _, err = run(run_program, *CARD, *everywhere, "--insecure", "--seconds", "0.2", cwd=tmp_path)
    assert err.count("nothing is encrypted") == 2


def test_streams_are_listed_watched_by_name_and_named_once(run_program: RunProgram, tmp_path: Path) -> None:
    out, _ = run(run_program, "streams", "--json")
    assert last_line(out) == {"command": "streams", "streams": []}
    with playing(*CARD, *ANYWHERE, "--stream", "aki", cwd=tmp_path) as (aki, frames, controls):
        out, _ = run(run_program, "streams", "--json")
        [told] = last_line(out)["streams"]
        assert (told["stream"], told["frames"], told["control"], told["pid"]) == ("aki", frames, controls, aki.pid)
        out, _ = run(run_program, "view", "--seconds", "0.5")
        assert f"watching {frames}" in out
        _, err = run(run_program, *CARD, *ANYWHERE, "--stream", "aki", "--seconds", "1", code=1)
        assert f"process {aki.pid}" in err
        with playing(*CARD, *ANYWHERE, "--stream", "neko", cwd=tmp_path) as (_, other, _):
            _, err = run(run_program, "view", "--seconds", "0.5", code=1)
            assert "aki, neko" in err
            out, _ = run(run_program, "view", "neko", "--seconds", "0.5")
            assert f"watching {other}" in out
        _, err = run(run_program, "view", "ren", "--seconds", "0.5", code=1)
        assert "ren" in err
        aki.terminate()
        aki.wait(30)
        out, _ = run(run_program, "streams", "--json")
        assert last_line(out)["streams"] == []


def test_no_more_frames_are_drawn_than_the_clients_want(tmp_path: Path) -> None:
    with (
        playing(*CARD, *ANYWHERE, "--stream", "aki", cwd=tmp_path) as (_, frames, controls),
        Subscriber(frames) as subscriber,
    ):

        def target_fps() -> float:
            return subscriber.stats.target_fps if subscriber.stats else 0.0

        eventually(lambda: target_fps() == 60.0)
        with ControlClient(controls, wanted_fps=12.0):
            eventually(lambda: target_fps() == 12.0)
            with ControlClient(controls, wanted_fps=30.0):
                eventually(lambda: target_fps() == 30.0)
            eventually(lambda: target_fps() == 12.0)
            with ControlClient(controls):
                eventually(lambda: target_fps() == 60.0)
            with Subscriber(frames):  # has no way to say what it wants
                eventually(lambda: target_fps() == 60.0)
            eventually(lambda: target_fps() == 12.0)
        eventually(lambda: target_fps() == 60.0)
