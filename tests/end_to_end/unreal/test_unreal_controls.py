"""How the Unreal plugin moves a character: controls, looking, speech, and the example that talks."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine_bridge.avf.messages import IdentityMix
from tests.unreal.playing import CONTROLS, NOTHING_LEFT, VISEMES, is_picture, playing, producing
from tests.unreal_build import REPOSITORY


def test_what_the_character_takes_is_told(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        assert game.ask("takes", "controls") == {"controls": [], "identities": [], "expressions": []}
        game.run_till(lambda: bool(game.ask("takes", "controls")["controls"]))
        takes = game.ask("takes", "controls")
        assert takes["controls"][0] == ["jawOpen", "mouth", 0.0, 1.0, 0.0]
        assert len(takes["controls"]) == len(CONTROLS)
        assert takes["identities"] == ["Aki", "Neko"]
        assert takes["expressions"] == ["happy", "relaxed", "surprised"]
        assert game.quit() == NOTHING_LEFT


def test_all_controls_reach_the_character(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        wishes = ["set jawOpen 0.25", "identity Neko", "mixseed 7 0.5", "psi 0.75", "expression happy", "head 10 -20 5"]
        for command in wishes:
            assert game.ask(command, "taken")["taken"], command
        game.tell("calibrate")
        game.run(0.2)
        wanted = {"jawOpen": 0.25, "headYaw": 20.0, "headPitch": 10.0, "headRoll": -5.0}
        state = producer.wait_for_state(lambda state: state.controls == wanted)
        assert (state.identity, state.mix) == ("Neko", IdentityMix(7, 0.5))
        assert (state.truncation_psi, state.expression, state.calibrate) == (0.75, "happy", True)
        assert game.report()["sent"] == 1

        game.run(0.2)
        assert game.report()["sent"] == 1

        game.ask("seed 42", "taken")
        game.ask("mix Aki 0.25", "taken")
        game.tell("release headYaw", "release headPitch", "release headRoll", "leave")
        game.run(0.2)
        state = producer.wait_for_state(lambda state: state.identity == 42)
        assert (state.controls, state.mix) == ({"jawOpen": 0.25}, IdentityMix("Aki", 0.25))
        assert (state.expression, state.calibrate) == (None, False)

        game.tell("unmix")
        game.run(0.2)
        producer.wait_for_state(lambda state: state.mix == IdentityMix("Aki", 0.0))

        for command in ("set jawOpen nan", "set jawOpen inf", "mix Aki 2", "seed -1", "psi -0.5", "head nan 0 0"):
            assert game.ask(command, "taken")["taken"] is False, command
        sent = game.report()["sent"]
        game.run(0.1)
        assert game.report()["sent"] == sent
        assert game.quit() == NOTHING_LEFT


def test_looking_follows_a_place_and_lets_go(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.tell("look 100 -100 0")  # 45 degrees to her left, further than eyes turn
        game.run(0.2)
        wanted = {"gazeYaw": 30.0, "headYaw": 10.0, "gazePitch": 0.0, "headPitch": 0.0}
        producer.wait_for_state(lambda state: state.controls == pytest.approx(wanted, abs=1e-4))
        game.tell("look 100 0 17.6327")  # 10 degrees up
        game.run(0.2)
        wanted = {"gazeYaw": 0.0, "headYaw": 0.0, "gazePitch": 10.0, "headPitch": 10 / 3}
        producer.wait_for_state(lambda state: state.controls == pytest.approx(wanted, abs=1e-4))
        game.tell("unlook")
        game.run(0.2)
        producer.wait_for_state(lambda state: state.controls == {})
        assert game.quit() == NOTHING_LEFT


def test_control_component_that_goes_lets_go_of_the_character(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        for command in ("set jawOpen 1", "identity Neko", "expression happy"):
            assert game.ask(command, "taken")["taken"]
        game.tell("look 100 0 0", "say aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
        game.run(0.3)
        producer.wait_for_state(lambda state: {"jawOpen", "aa", "gazeYaw"} <= set(state.controls))
        game.tell("dropcontrol", "gc")
        game.run(0.2)
        state = producer.wait_for_state(lambda state: state.controls == {})
        assert (state.identity, state.expression) == ("Neko", None)
        assert game.run_for(1)
        assert game.quit() == NOTHING_LEFT


def test_talking_npc_speaks_and_follows_the_player(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"npc {producer.frames}", "spawned")
        said = game.run_until(lambda said: said == {"event": "spoken"})
        pictures = [picture for picture in said if is_picture(picture)]
        assert pictures
        assert all(picture["bound"] for picture in pictures)
        game.run(0.2)

        spoken = [state for state in producer.states if "aa" in state.controls]
        assert all(set(state.controls) == {*VISEMES, "gazeYaw", "headYaw"} for state in spoken)
        assert all(state.controls["gazeYaw"] == pytest.approx(10.0, abs=1e-3) for state in spoken)
        assert all(state.controls["headYaw"] == pytest.approx(10.0 / 3, abs=1e-3) for state in spoken)
        for viseme in VISEMES:
            assert max(state.controls[viseme] for state in spoken) > 0.1, viseme
        moods = [state.expression for state in spoken]
        assert [mood for index, mood in enumerate(moods) if index == 0 or moods[index - 1] != mood][-3:] == [
            "happy",
            "relaxed",
            "surprised",
        ]
        last = producer.wait_for_state(lambda state: state.expression == "")
        assert set(last.controls) == {"gazeYaw", "headYaw"}
        game.tell("clear")
        assert game.quit() == NOTHING_LEFT


def test_speech_moves_the_mouth_as_in_every_language(game_program: Path) -> None:
    kit = REPOSITORY / "assets" / "conformance" / "v1" / "speech.txt"
    compared = 0
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        text = ""
        for line in kit.read_text(encoding="utf-8").splitlines():
            if line.startswith("text="):
                text = line.removeprefix("text=")
                continue
            time_ms, *weights, expression = line.split(" ")
            said = game.ask(f"mouth {time_ms} {text}", "mouth")
            assert said["mouth"] == pytest.approx([float(weight) for weight in weights], abs=1e-4), line
            assert said["expression"] == {"-": None, "~": ""}.get(expression, expression), line
            compared += 1
        assert game.quit() == NOTHING_LEFT
    assert compared > 100


def test_stopping_in_the_middle_of_a_line_lets_go_of_the_mouth(game_program: Path) -> None:
    with producing() as producer, playing(game_program) as game:
        game.ask(f"spawn endpoint={producer.frames}", "spawned")
        game.run_until(is_picture)
        game.tell(f"say {'a' * 99}")
        game.run_till(lambda: any(state.controls.get("aa", 0) > 0.9 for state in list(producer.states)))
        assert game.report()["speaking"] is True
        game.tell("stop")
        game.run(0.2)
        assert game.report()["speaking"] is False
        producer.wait_for_state(lambda state: state.expression == "" and state.controls == {})
        assert {"event": "spoken"} not in game.said
        assert game.quit() == NOTHING_LEFT
