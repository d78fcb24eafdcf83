"""The vocabulary of controls, and how one control follows from others."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_bridge.errors import ControlError
from runtime.character.controls import (
    ARKIT_BLENDSHAPES,
    PORTRAIT_CONTROLS,
    RULES,
    VOCABULARY,
    Control,
    Derivation,
    derive,
)
from runtime.character.controls_table import table

PORTRAIT = {control.name for control in PORTRAIT_CONTROLS}


def controls(*names: str) -> tuple[Control, ...]:
    return tuple(VOCABULARY[name] for name in names)


def test_arkit_has_fifty_two_shapes_all_in_the_vocabulary() -> None:
    assert len(ARKIT_BLENDSHAPES) == len(set(ARKIT_BLENDSHAPES)) == 52
    assert set(ARKIT_BLENDSHAPES).issubset(VOCABULARY)
    assert PORTRAIT.issubset(VOCABULARY)


def test_rules_name_only_known_controls_and_each_target_once() -> None:
    targets = [rule.target for rule in RULES]
    assert len(targets) == len(set(targets))
    assert {name for rule in RULES for name in (rule.target, *(term[0] for term in rule.terms))} <= set(VOCABULARY)


def test_given_controls_pass_through_clamped() -> None:
    assert derive({"jawOpen": 0.25, "headYaw": 90.0}, PORTRAIT_CONTROLS) == {"jawOpen": 0.25, "headYaw": 30.0}


def test_gaze_from_eye_shapes_has_our_sign_and_degrees() -> None:
    to_the_left = {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, "eyeLookInLeft": 0.0, "eyeLookOutRight": 0.0}
    assert derive(to_the_left, controls("gazeYaw"))["gazeYaw"] == pytest.approx(17.5)
    down = {"eyeLookDownLeft": 0.4, "eyeLookDownRight": 0.4}
    assert derive(down, controls("gazePitch"))["gazePitch"] == pytest.approx(-14.0)


def test_eye_shapes_from_gaze_and_back() -> None:
    shapes = tuple(name for name in ARKIT_BLENDSHAPES if name.startswith("eyeLook"))
    for yaw, pitch in ((12.0, -8.0), (-20.0, 15.0), (0.0, 0.0)):
        looks = derive({"gazeYaw": yaw, "gazePitch": pitch}, controls(*shapes))
        assert all(0.0 <= value <= 1.0 for value in looks.values())
        back = derive(looks, controls("gazeYaw", "gazePitch"))
        assert back == pytest.approx({"gazeYaw": yaw, "gazePitch": pitch}, abs=1e-4)


def test_an_open_jaw_is_not_shown_twice() -> None:
    assert "aa" not in derive({"jawOpen": 0.8}, PORTRAIT_CONTROLS)
    assert derive({"jawOpen": 0.8}, controls("aa"))["aa"] > 0.8
    assert "jawOpen" not in derive({"aa": 1.0}, PORTRAIT_CONTROLS)
    assert derive({"aa": 1.0}, controls("jawOpen"))["jawOpen"] == pytest.approx(0.7)


def test_visemes_come_from_mouth_shapes_that_the_character_does_not_take() -> None:
    face = dict.fromkeys(ARKIT_BLENDSHAPES, 0.0) | {
        "mouthFunnel": 0.6,
        "mouthStretchLeft": 0.5,
        "mouthStretchRight": 0.5,
    }
    got = derive(face, PORTRAIT_CONTROLS)
    assert got["oh"] > 0.5
    assert got["ee"] > 0.4
    assert got["mouthPucker"] == 0.0


def test_brows_of_worry_and_of_surprise_differ() -> None:
    worry = derive({"browInnerUp": 0.8, "browOuterUpLeft": 0.0, "browOuterUpRight": 0.0}, PORTRAIT_CONTROLS)
    surprise = derive({"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8}, PORTRAIT_CONTROLS)
    assert worry["browSadLeft"] == pytest.approx(0.8)
    assert surprise["browSadLeft"] < 0.5 * worry["browSadLeft"]
    assert surprise["browOuterUpLeft"] == pytest.approx(0.8)


def test_moods_are_only_ever_given() -> None:
    everything = dict.fromkeys(ARKIT_BLENDSHAPES, 1.0)
    assert not {"happy", "angry", "sad", "relaxed", "surprised"} & set(derive(everything, PORTRAIT_CONTROLS))


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ControlError, match=r'"jawOpne".*Did you mean "jawOpen"'):
        derive({"jawOpne": 0.1}, PORTRAIT_CONTROLS)
    with pytest.raises(ControlError, match=r"docs/controls\.md"):
        derive({"zzzzzzzzz": 0.1}, PORTRAIT_CONTROLS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1"])
def test_a_value_that_is_not_a_number_is_refused_by_name(value: float) -> None:
    with pytest.raises(ControlError, match="jawOpen"):
        derive({"jawOpen": value}, PORTRAIT_CONTROLS)


@given(
    st.dictionaries(st.sampled_from(sorted(VOCABULARY)), st.floats(-1e6, 1e6), max_size=30),
    st.lists(st.sampled_from(sorted(VOCABULARY)), unique=True, min_size=1, max_size=40),
)
def test_whatever_is_given_stays_in_range(given_controls: dict[str, float], wanted: list[str]) -> None:
    for name, value in derive(given_controls, controls(*wanted)).items():
        assert VOCABULARY[name].minimum <= value <= VOCABULARY[name].maximum


def test_controls_that_nobody_moves_stay_at_rest() -> None:
    way = Derivation(("jawOpen",), (Control("breath", 0.0, 1.0, 0.25, "body"), VOCABULARY["jawOpen"]))
    assert list(way.held) == [False, True]
    assert way.apply([0.5]).tolist() == [0.25, 0.5]


def test_the_documented_table_is_current(repository: Path) -> None:
    text = (repository / "docs" / "controls.md").read_text(encoding="utf-8")
    assert table() in text, "run: python -m runtime.character.controls_table"
