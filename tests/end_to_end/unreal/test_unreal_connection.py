"""How the Unreal plugin finds a stream, gets in, and says what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq

from engine_bridge.access.discovery import Announcement, StreamPlace
from engine_bridge.access.keys import add_client, make_server_keys
from tests.unreal.playing import NOTHING_LEFT, is_picture, playing, producing


def test_producer_may_be_restarted(game_program: Path) -> None:
    with playing(game_program) as game:
        with producing() as first:
            game.ask(f"spawn endpoint={first.frames}", "spawned")
            game.run_until(is_picture)
            assert game.ask("set jawOpen 0.5", "taken")["taken"]
            game.run(0.1)
            first.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        game.run_until(lambda said: said == {"event": "state", "state": "Lost"})
        assert game.report()["leases"] == 0

        with producing(first.frames, first.control) as second:
            said = game.run_until(is_picture)
            pictures = [picture for picture in said if is_picture(picture)] + game.run(0.3)
            assert all(said["hash"] == second.hashes[said["frame"]][1] for said in pictures)
            second.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        assert game.quit() == NOTHING_LEFT


def test_stream_is_found_by_its_name(game_program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with producing() as producer:
        place = StreamPlace(
            pid=os.getpid(), session=producer.session, stream="npc", frames=producer.frames, control=producer.control
        )
        with Announcement(place), playing(game_program) as game:
            game.ask("spawn endpoint= stream=npc", "spawned")
            game.run_until(is_picture)
            assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in game.run_for(3))
            assert game.quit() == NOTHING_LEFT


def test_encrypted_stream_needs_the_key_file(game_program: Path, tmp_path: Path) -> None:
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    keys = make_server_keys(tmp_path / "keys")
    add_client(tmp_path / "keys", "unreal", tmp_path / "unreal.toml")
    with producing(keys=keys) as producer:
        with playing(game_program) as game:
            game.ask(f"spawn endpoint={producer.frames} key={tmp_path / 'unreal.toml'}", "spawned")
            game.run_until(is_picture)
            assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in game.run_for(5))
            assert game.ask("set jawOpen 0.5", "taken")["taken"]
            game.run(0.2)
            producer.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
            assert game.quit() == NOTHING_LEFT
        with playing(game_program) as stranger:
            stranger.ask(f"spawn endpoint={producer.frames}", "spawned")
            assert stranger.run(1.0) == []
            assert stranger.quit() == NOTHING_LEFT


def test_missing_key_file_is_told(game_program: Path, tmp_path: Path) -> None:
    with playing(game_program) as game:
        spawned = game.ask(f"spawn endpoint=tcp://127.0.0.1:5760 key={tmp_path / 'nobody.toml'}", "spawned")
        assert spawned["open"] is False
        assert "nobody.toml" in spawned["error"]
        assert game.quit() == NOTHING_LEFT


def test_wrong_endpoint_is_told_and_does_no_harm(game_program: Path) -> None:
    with playing(game_program) as game:
        spawned = game.ask("spawn endpoint=nonsense", "spawned")
        assert spawned["open"] is False
        assert spawned["error"]
        game.run(0.1)
        assert game.ask("set jawOpen 0.5", "taken")["taken"] is True
        assert game.ask("open", "taken")["taken"] is False
        game.run(0.1)
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize("environment", [{"STUB_PLUGIN_DIR": "/nowhere"}, {"STUB_ABI_VERSION": "99"}])
def test_without_a_fitting_library_nothing_of_it_is_called(environment: dict[str, str], game_program: Path) -> None:
    with playing(game_program, **environment) as game:
        assert game.loaded is False
        spawned = game.ask("spawn endpoint=tcp://127.0.0.1:5760", "spawned")
        assert spawned["open"] is False
        assert "LogBunraku" in spawned["error"]
        assert game.ask("set jawOpen 0.5", "taken")["taken"] is True
        game.run(0.1)
        assert game.quit() == NOTHING_LEFT


def test_statistics_tell_ages_provenance_and_refusals(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        early = game.ask("statistics", "received")
        assert early["taken_ms"] == early["motion_to_photon_ms"] == -1.0
        game.run_until(is_picture)
        game.ask("set jawOpen 0.5", "taken")
        game.run_till(lambda: game.ask("statistics", "received")["motion_to_photon_ms"] >= 0)
        game.run_till(lambda: game.ask("statistics", "received")["fps"] > 0)
        figures = game.ask("statistics", "received")
        assert figures["taken_ms"] > 0
        assert figures["arrival_ms"] > 0
        assert figures["motion_to_photon_ms"] > 0
        assert figures["shown"] > 0
        assert (figures["stream"], figures["provider"], figures["ai"]) == ("npc", "test", True)
        assert figures["source"] == "CC0"

        game.ask("set notAControl 1", "taken")
        game.run_till(lambda: game.ask("statistics", "received")["refused"] >= 1)
        assert game.quit() == NOTHING_LEFT
