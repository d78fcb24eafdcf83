"""How the Unity package moves a character: controls, looking, speech."""

from __future__ import annotations

import math

import pytest

from engine_bridge import ControlState
from tests import verbs_kit
from tests.conformance_kit import KIT
from tests.unity.game import Game
from tests.unity.producer import Producer, live, state_of, tick_until
from tests.verbs_kit import Step

VERBS = verbs_kit.cases()
NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # as C# reads them


def test_controls_reach_the_producer_and_come_back_in_frames(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.25)
        game.ask("set", "headYaw", -12.5)
        game.ask("expression", "happy")
        game.ask("identity", "Ren")
        game.ask("mix-seed", 11, 0.75)
        game.ask("psi", 0.5)
        state = state_of(game, producer, lambda state: state.expression == "happy" and state.truncation_psi == 0.5)
        assert state.controls == {"jawOpen": 0.25, "headYaw": -12.5}
        assert state.identity == "Ren"
        assert state.mix is not None
        assert (state.mix.identity, state.mix.amount) == (11, 0.75)
        assert not state.calibrate
        game.ask("release", "headYaw")
        game.ask("calibrate")
        state = state_of(game, producer, lambda state: state.calibrate)
        assert state.controls == {"jawOpen": 0.25}
        game.ask("expression", "")
        state_of(game, producer, lambda state: state.expression == "" and not state.calibrate)
        game.ask("identity", "")
        game.ask("seed", 42)
        game.ask("mix", "Aki", 0.5)
        state = state_of(
            game, producer, lambda state: state.identity == 42 and state.mix and state.mix.identity == "Aki"
        )
        report = tick_until(game, lambda report: not math.isnan(float(report["motion_to_photon"])))
        assert float(report["motion_to_photon"]) > 0
        assert report["refused"] == "0"
        # Switched off, the component gives back what it held.
        sent = len(producer.states)
        game.ask("control-off")
        tick_until(game, lambda _: any(state.controls == {} for state in producer.states[sent:]))


def held(steps: list[Step]) -> set[str]:
    """The controls that a case of the kit holds."""
    return {step.words[1] for step in steps if step.words[0] == "hold"} - {""}


@pytest.mark.parametrize("name", [name for name, steps in VERBS.items() if held(steps) <= {"jawOpen", "headYaw"}])
def test_verbs_send_what_the_kit_says(game: Game, name: str) -> None:
    """Whether a verb was refused is seen from what is sent: the component warns and continues."""

    def obey(step: Step) -> None:
        verb, *words = step.words
        game.ask("obey", verb, words[0] if words else "", NUMBERS.get(words[-1], words[-1]) if words else "")

    def sent(_: Step) -> ControlState | None:
        before = game.ask("report")["control_id"]
        game.ask("tick", 1, 0)
        now = game.ask("report")["control_id"]
        if now == before:
            return None
        tick_until(game, lambda _: any(str(state.control_id) == now for state in list(producer.states)))
        return next(state for state in producer.states if str(state.control_id) == now)

    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        verbs_kit.follow(VERBS[name], obey, sent)


def test_control_that_is_switched_off_gives_back_what_it_held_and_takes_it_again(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.5)
        game.ask("expression", "happy")
        state_of(game, producer, lambda state: state.controls == {"jawOpen": 0.5})
        game.ask("control-off")
        tick_until(game, lambda _: producer.states[-1].controls == {})
        game.ask("control-on")
        tick_until(game, lambda _: producer.states[-1].controls == {"jawOpen": 0.5})
        assert producer.states[-1].expression == "happy"


def test_nothing_is_sent_while_nothing_changes(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.5)
        tick_until(game, lambda report: report["control_id"] != "0")
        before = game.ask("report")["control_id"]
        for _ in range(20):
            game.ask("set", "jawOpen", 0.5)
            game.ask("tick", 1, 0)
        assert game.ask("report")["control_id"] == before


def test_number_that_is_none_is_left_out_with_a_warning(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("set", "jawOpen", 0.5)
        game.ask("set", "jawOpen", "NaN")
        game.ask("set", "headYaw", "Infinity")
        state_of(game, producer, lambda state: state.controls == {"jawOpen": 0.5})
        assert "jawOpen is NaN" in game.ask("report")["said"]


def test_character_tells_what_it_takes(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: report["control_state"] == "Live")
        info = game.ask("info")
        assert (info["character"], info["size"]) == ("Aki", "64x48")
        assert info["control.jawOpen"] == "0 1 0 mouth"
        assert info["control.gazeYaw"] == "-30 30 0 head"
        assert (info["identities"], info["expressions"]) == ("Aki,Ren", "happy,relaxed,surprised")


@pytest.mark.parametrize(
    ("where", "yaw", "pitch"),
    [
        ((0.2, 0.0, -1.0), 11.31, 0.0),  # to the viewer's right: the character's own left, positive
        ((-0.2, 0.0, -1.0), -11.31, 0.0),
        ((0.0, 0.2, -1.0), 0.0, 11.31),  # above: up, positive
        ((0.0, -0.2, -1.0), 0.0, -11.31),
        ((5.0, 0.0, -1.0), 30.0, 0.0),  # no further than the eyes go
        ((0.0, 5.0, -1.0), 0.0, 20.0),
    ],
)
def test_eyes_and_head_follow(game: Game, where: tuple[float, float, float], yaw: float, pitch: float) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: report["control_state"] == "Live")
        game.ask("look", *where)
        controls = state_of(game, producer, lambda state: "headPitch" in state.controls).controls
        assert controls["gazeYaw"] == pytest.approx(yaw, abs=0.01)
        assert controls["gazePitch"] == pytest.approx(pitch, abs=0.01)
        assert controls["headYaw"] == pytest.approx(yaw / 3, abs=0.01)
        assert controls["headPitch"] == pytest.approx(pitch / 3, abs=0.01)
        game.ask("look-away")
        state_of(game, producer, lambda state: state.controls == {})


def test_turned_face_looks_from_where_it_faces(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: report["control_state"] == "Live")
        # A quad turned by 90 degrees around y faces -x; who stands there at z 0.2 is to the character's right.
        game.ask("turn", 90)
        game.ask("look", -1, 0, 0.2)
        controls = state_of(game, producer, lambda state: "headPitch" in state.controls).controls
        assert controls["gazeYaw"] == pytest.approx(-11.31, abs=0.01)


def test_speech_moves_the_mouth_as_in_every_language(game: Game) -> None:
    lines: dict[str, list[str]] = {}
    for line in (KIT / "speech.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("text="):
            lines[line.removeprefix("text=")] = moments = []
        elif line and not line.startswith("#"):
            moments.append(line)
    assert lines
    for text, expected in lines.items():
        times = ",".join(moment.split()[0] for moment in expected)
        for (_, moment), right in zip(game.lines("speech", text, times), expected, strict=True):
            assert_same_moment(moment, right, text)


def assert_same_moment(ours: str, theirs: str, text: str) -> None:
    """Weights may differ by a rounding of the last place."""
    mine, other = ours.split(), theirs.split()
    assert mine[6] == other[6], f"{text!r}: {ours} instead of {theirs}"
    for a, b in zip(mine[1:6], other[1:6], strict=True):
        assert float(a) == pytest.approx(float(b), abs=1.01e-4), f"{text!r}: {ours} instead of {theirs}"


def test_sample_says_its_line_and_looks_at_the_player(game: Game) -> None:
    with Producer() as producer:
        game.ask("open", f"Endpoint={producer.endpoint}")
        tick_until(game, lambda report: live(report) and report["control_state"] == "Live")
        game.ask("sample")
        tick_until(game, lambda report: report["speaking"] == "True")
        tick_until(game, lambda report: "finished" in report["events"])
        tick_until(game, lambda _: producer.states[-1].expression == "")
        moods = [state.expression for state in producer.states if state.expression is not None]
        assert list(dict.fromkeys(moods)) == ["happy", "relaxed", "surprised", ""]
        assert max(state.controls.get("aa", 0.0) for state in producer.states) > 0.5
        assert producer.states[-1].controls["gazeYaw"] == pytest.approx(math.degrees(math.atan2(0.5, 2)), abs=0.01)
        assert "aa" not in producer.states[-1].controls
