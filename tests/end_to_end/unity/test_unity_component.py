"""How the components of the Unity package live: opened, disabled, reloaded, inspected, and set up wrongly."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.conformance_kit import KIT
from tests.unity import game as unity
from tests.unity.game import Game
from tests.unity.producer import Producer, live, tick_until


def test_edit_mode_tests_of_the_package_pass(game: Game) -> None:
    results = game.lines("edit-mode-tests")
    assert len(results) > 10
    assert [result for result in results if result[1] != "ok"] == []


def test_structs_lie_as_the_c_compiler_has_them(game: Game) -> None:
    told = dict(line.split("=") for line in (KIT / "abi.txt").read_text(encoding="utf-8").split())
    ours = game.ask("layout")
    twins = {key: value for key, value in told.items() if key.split(".")[0] in ours}
    assert ours == twins


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "domains"), [("forget", 50), ("disable", 25), ("reload", 25)])
def test_script_domains_are_unloaded_without_a_hang(game: Game, ending: str, domains: int) -> None:
    with Producer() as producer:
        before = game.ask("domains", 1, ending, f"Endpoint={producer.endpoint}")
        assert "failed" not in before, before
        after = game.ask("domains", domains, ending, f"Endpoint={producer.endpoint}", timeout_s=150)
        assert "failed" not in after, after
        # No client outlives its domain: each has threads, libzmq's and its own.
        assert int(after["threads"]) <= int(before["threads"]) + 10


@pytest.mark.parametrize("moment", ["reload", "quitting", "play"])
def test_clients_are_closed_at(game: Game, moment: str) -> None:
    with Producer() as producer:
        game.ask("play")
        game.ask("open", f"Endpoint={producer.endpoint}")
        assert tick_until(game, live)["clients"] == "1"
        game.ask(moment)
        game.ask("tick", 3, 1)
        report = game.ask("report")
        assert report["clients"] == "0"
        assert report["said"] == ""


def test_disabled_receiver_closes_and_enabled_one_opens(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, live)
        game.ask("disable")
        report = game.ask("report")
        assert (report["clients"], report["state"]) == ("0", "Lost")
        assert "sha256" in report
        game.ask("enable")
        assert tick_until(game, live)["clients"] == "1"
        game.ask("destroy")
        assert game.ask("report")["clients"] == "0"


def test_stream_is_found_by_its_name_on_this_host(program: Path, library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bunraku"
    folder.mkdir(mode=0o700)
    with Producer() as producer:
        lines = {
            "pid": str(os.getpid()), "session": str(producer.session), "stream": '"aki"',
            "frames": f'"{producer.endpoint}"', "control": '""', "web": '""', "server_key": '""',
        }  # fmt: skip
        (folder / "aki.toml").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
        with unity.running(program, library, {"XDG_RUNTIME_DIR": str(tmp_path)}) as game:
            game.ask("open", "Stream=aki")
            assert tick_until(game, live)["session"] == str(producer.session)


def test_missing_library_is_explained(program: Path) -> None:
    with unity.running(program, None) as game:
        game.ask("open", "Endpoint=tcp://127.0.0.1:5760")
        game.ask("tick", 3, 0)
        report = game.ask("report")
        assert report["state"] == "Error"
        assert report["why"].startswith("library not found: Plugins/Linux/x86_64/libbunraku_client.so")
        assert report["events"] == "state:Error"
        drawn = [value for key, value in game.lines("inspect") if key == "drawn"]
        assert any(line.startswith("Warning: library not found") for line in drawn)


@pytest.mark.parametrize(
    ("setting", "word"),
    [("Endpoint=tcp:/nowhere", "tcp"), ("Stream=a stream", "stream"), ("KeyFile=/no/such/file", "/no/such/file")],
)
def test_wrong_setting_is_explained_and_can_be_mended(game: Game, setting: str, word: str) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}", setting)
        game.ask("tick", 3, 0)
        report = game.ask("report")
        assert report["state"] == "Error"
        assert word in report["why"]
        assert report["clients"] == "0"
        field = setting.partition("=")[0]
        game.ask("configure", f"Endpoint={producer.endpoint}" if field == "Endpoint" else f"{field}=")
        assert tick_until(game, live)["why"] == ""


def test_inspector_shows_the_picture_and_how_it_stands(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        inspected = game.lines("inspect")
        drawn = "\n".join(value for key, value in inspected if key == "drawn")
        assert "State: Live, controls Live" in drawn
        assert re.search(r"Age: [0-9.]+ ms p50, [0-9.]+ ms p99", drawn)
        assert dict(inspected)["size"] == "64x48"
        assert dict(inspected)["preview"] == "33.33334 0 133.3333 100"
