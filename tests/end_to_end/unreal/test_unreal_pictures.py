"""What the Unreal plugin shows of a live stream, and that nothing is left of what was in flight."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.unreal.playing import NOTHING_LEFT, build_game, is_live, is_picture, of_size, playing, producing
from tests.unreal_build import THREAD


@pytest.mark.parametrize(("pixel_format", "column"), [("rgba8", 0), ("bgra8", 1)])
def test_textures_hold_the_bytes_that_were_sent(pixel_format: str, column: int, game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        spawned = game.ask(f"spawn endpoint={producer.frames} format={pixel_format} material=1", "spawned")
        assert spawned["open"], spawned["error"]
        game.run_until(is_picture)
        for size in [(24, 16), (33, 17), (1, 1), (64, 3)]:
            producer.size = size
            pictures = [said for said in game.run_until(of_size(*size)) if is_picture(said)]
            pictures += game.run_for(5)
            for picture in pictures:
                assert picture["hash"] == producer.hashes[picture["frame"]][column]
                assert picture["srgb"] is True
                assert picture["bound"] is True
                assert picture["age_ms"] >= 0
            ids = [picture["frame"] for picture in pictures]
            assert ids == sorted(set(ids))
        assert {"event": "size", "width": 33, "height": 17} in game.said
        assert is_live(next(said for said in game.said if said.get("event") == "state"))
        report = game.report()
        assert report["leases"] == 0
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize("textures", [1, 2, 3])
def test_pictures_go_round_the_textures(textures: int, game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames} textures={textures}", "spawned")
        game.run_until(is_picture)
        pictures = game.run_for(10)
        shown = [picture["texture"] for picture in pictures]
        assert len(set(shown)) == textures
        if textures > 1:
            assert all(before != after for before, after in pairwise(shown))
        assert game.report()["textures"] == textures
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize(("encoding", "in_use"), [(0, 4), (1, 1), (2, 2), (3, 3), (4, 4)])
def test_pictures_travel_as_chosen(encoding: int, in_use: int, game_program: Path) -> None:
    """Numbers are those of EBunrakuEncoding: automatic, raw, lz4, jpeg, shared memory."""
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames} encoding={encoding}", "spawned")
        game.run_till(lambda: game.ask("statistics", "encoding")["encoding"] == in_use)
        pictures = game.run_for(10)
        if in_use != 3:
            assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)
        assert game.quit() == NOTHING_LEFT


def test_frames_wait_while_the_render_thread_is_held(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.hold_render_thread()
        game.run_till(lambda: game.ask("statistics", "deferred")["deferred"] > 3)
        assert game.report()["leases"] == 2
        game.tell("resume")
        pictures = game.run_for(5)
        assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)
        assert game.report()["leases"] == 0
        assert game.quit() == NOTHING_LEFT


def test_destroyed_with_updates_in_flight(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        for _ in range(3):
            game.ask(f"spawn endpoint={producer.frames}", "spawned")
            game.run_until(is_picture)
            game.hold_render_thread()
            game.ask("destroy", "destroyed_ms")
            game.tell("clear")
            assert game.ask("gc", "waiting")["waiting"] > 0
            flying = game.report()
            assert (flying["leases"], flying["clients"]) == (2, 1)

            game.tell("resume")
            while game.ask("gc", "waiting")["waiting"]:
                pass
            game.ask("gc", "waiting")
            landed = game.report()
            assert (landed["leases"], landed["clients"]) == (0, 0)
        assert game.quit() == NOTHING_LEFT


def test_game_thread_and_render_thread_do_not_race(tmp_path: Path) -> None:
    program = build_game(tmp_path, THREAD)
    # Both are built without ThreadSanitizer, which therefore cannot see how they synchronize.
    suppressions = tmp_path / "suppressions.txt"
    suppressions.write_text("race:libzmq.so\nrace:libbunraku_client.so\n", encoding="utf-8")
    with producing() as producer, playing(program, TSAN_OPTIONS=f"suppressions={suppressions}") as game:
        for _ in range(3):
            game.ask(f"spawn endpoint={producer.frames} material=1", "spawned")
            game.run_until(is_picture)
            game.ask("set jawOpen 0.5", "taken")
            game.tell("say hello there", "run 0.5", "hold", "run 0.2", "destroy", "clear", "gc", "resume", "gc")
        assert game.quit() == NOTHING_LEFT


def test_closed_and_opened_again_with_updates_in_flight(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.ask("set jawOpen 0.5", "taken")
        game.run(0.1)
        producer.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        told = len(producer.states)
        game.hold_render_thread()
        game.tell("close")
        assert game.ask("open", "taken")["taken"] is True
        assert game.report()["clients"] == 2
        game.tell("resume")
        pictures = [said for said in game.run_until(is_picture) if is_picture(said)]
        assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)
        report = game.report()
        assert (report["clients"], report["leases"]) == (1, 0)
        # The new client is a stranger to the producer and tells everything again.
        game.run_till(lambda: len(producer.states) > told)
        assert producer.states[told].controls == {"jawOpen": 0.5}
        assert game.quit() == NOTHING_LEFT


def test_whoever_hears_of_a_picture_may_close_the_receiver(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.tell("closeinevent")
        game.run_until(lambda said: said == {"event": "state", "state": "Lost"})
        report = game.report()
        assert (report["clients"], report["leases"], report["state"]) == (0, 0, "Lost")
        assert game.ask("open", "taken")["taken"] is True
        game.run_until(is_picture)
        assert game.quit() == NOTHING_LEFT


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_holding_closing_and_destroying_leaves_nothing(seed: int, game_program: Path) -> None:
    random = np.random.default_rng(seed)
    with producing() as producer, playing(game_program) as game:
        for _ in range(4):
            textures = int(random.integers(1, 4))
            game.ask(f"spawn endpoint={producer.frames} textures={textures} material=1", "spawned")
            for command in random.choice(["hold", "resume", "close", "open", "run 0.05", "run 0.2", "gc", "last"], 12):
                game.tell(command)
                producer.size = (int(random.integers(1, 40)), int(random.integers(1, 40)))
            game.tell("destroy", "clear", "gc")
        game.tell("resume")
        assert game.quit() == NOTHING_LEFT
        pictures = [said for said in game.said if is_picture(said)]
        assert all(said["hash"] == producer.hashes[said["frame"]][1] for said in pictures)


def test_nothing_is_kept_where_nothing_is_rendered(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.tell("headless")
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_live)
        assert game.run(0.5) == []
        assert game.ask("set jawOpen 0.5", "taken")["taken"]
        game.run(0.2)
        producer.wait_for_state(lambda state: state.controls == {"jawOpen": 0.5})
        assert game.report()["leases"] == 0
        assert game.quit() == NOTHING_LEFT
