from __future__ import annotations

import subprocess
import sys

import pygame
import pytest

from engine_bridge.avf.messages import ControlSpec, IdentityMix
from engine_bridge.errors import SinkError
from engine_bridge.viewer import background
from engine_bridge.viewer.desk import Desk
from engine_bridge.viewer.input_map import BINDINGS, Action, action_of
from engine_bridge.viewer.look import LookAt

YAW = ControlSpec("headYaw", -30.0, 30.0, 0.0, "head")
PITCH = ControlSpec("headPitch", -20.0, 20.0, 0.0, "head")
GAZE = ControlSpec("gazeYaw", -30.0, 30.0, 0.0, "eyes")


def test_desk_says_nothing_before_the_user_does_something():
    assert Desk().take(1) is None


def test_desk_says_everything_that_is_held_once():
    desk = Desk()
    desk.hold("headYaw", 10.0)
    desk.toggle_expression("happy")
    state = desk.take(123)
    assert state is not None
    assert (state.control_id, state.timestamp_ns) == (1, 123)
    assert state.controls == {"headYaw": 10.0}
    assert state.expression == "happy"
    assert desk.take(124) is None


def test_released_control_is_left_out_of_the_next_message():
    desk = Desk()
    desk.hold("headYaw", 10.0)
    desk.hold("jawOpen", 0.5)
    desk.take(1)
    desk.release("headYaw")
    state = desk.take(2)
    assert state is not None
    assert state.controls == {"jawOpen": 0.5}
    assert state.control_id == 2


def test_pointer_goes_over_the_slider_and_gives_it_back():
    desk = Desk()
    desk.hold("headYaw", 10.0)
    desk.lead({"headYaw": -5.0, "gazeYaw": 3.0})
    first = desk.take(1)
    desk.lead({})
    second = desk.take(2)
    assert first is not None
    assert first.controls == {"headYaw": -5.0, "gazeYaw": 3.0}
    assert second is not None
    assert second.controls == {"headYaw": 10.0}


def test_same_expression_again_means_none():
    desk = Desk()
    desk.toggle_expression("happy")
    desk.take(1)
    desk.toggle_expression("happy")
    state = desk.take(2)
    assert state is not None
    assert state.expression == ""


def test_mixture_taken_away_is_said_as_nothing_mixed():
    desk = Desk()
    desk.choose_mix("hana")
    desk.set_mix_amount(0.25)
    first = desk.take(1)
    desk.choose_mix(None)
    second = desk.take(2)
    assert first is not None
    assert first.mix == IdentityMix(identity="hana", amount=0.25)
    assert second is not None
    assert second.mix == IdentityMix(identity="hana", amount=0.0)


def test_calibration_is_said_once():
    desk = Desk()
    desk.calibrate()
    first = desk.take(1)
    desk.hold("headYaw", 1.0)
    second = desk.take(2)
    assert first is not None
    assert first.calibrate
    assert second is not None
    assert not second.calibrate


def test_reset_frees_the_controls_and_keeps_the_identity():
    desk = Desk()
    desk.choose_identity("aki")
    desk.hold("headYaw", 1.0)
    desk.toggle_expression("happy")
    desk.reset()
    state = desk.take(1)
    assert state is not None
    assert (state.controls, state.expression, state.identity) == ({}, "", "aki")


def test_new_producer_hears_the_state_again_only_if_there_is_one():
    desk = Desk()
    desk.say_again()
    assert desk.take(1) is None
    desk.hold("headYaw", 1.0)
    desk.take(2)
    desk.say_again()
    state = desk.take(3)
    assert state is not None
    assert state.controls == {"headYaw": 1.0}


def test_pointer_right_and_up_is_positive_yaw_and_pitch_and_the_eyes_lead():
    look = LookAt([YAW, PITCH, GAZE])
    look.aim(0.5, 0.5)
    values = look.step(0.02)
    assert set(values) == {"headYaw", "headPitch", "gazeYaw"}
    assert 0.0 < values["headYaw"] < values["gazeYaw"]
    assert values["headPitch"] > 0.0


def test_look_arrives_and_then_rests_inside_the_range():
    look = LookAt([YAW, GAZE])
    look.aim(5.0, 0.0)
    for _ in range(200):
        values = look.step(0.02)
    assert values == look.step(0.02)
    assert 0.0 < values["headYaw"] <= YAW.maximum
    assert values["headYaw"] < values["gazeYaw"] <= GAZE.maximum


def test_released_look_leads_nothing():
    look = LookAt([YAW])
    look.aim(1.0, 0.0)
    look.step(0.1)
    look.release()
    assert not look.active
    assert look.step(0.1) == {}


def test_every_action_has_one_line_of_help_and_no_key_means_two_things():
    actions = [binding.action for binding in BINDINGS if binding.action is not None]
    assert sorted(action.name for action in actions) == sorted(action.name for action in Action)
    keys = [(key, binding.control) for binding in BINDINGS for key in binding.keys]
    assert len(keys) == len(set(keys))
    assert all(binding.label and binding.text for binding in BINDINGS)


def test_keys_ask_for_what_the_help_says():
    assert action_of(pygame.K_F1, 0) is Action.HELP
    assert action_of(pygame.K_h, 0) is Action.HELP
    assert action_of(pygame.K_3, 0) is Action.EXPRESSION
    assert action_of(pygame.K_PLUS, pygame.KMOD_LCTRL) is Action.LARGER
    assert action_of(pygame.K_PLUS, 0) is None
    assert action_of(pygame.K_s, pygame.KMOD_LCTRL) is None


@pytest.mark.parametrize(
    ("name", "colour"), [("green", (0, 255, 0)), ("#1E90ff", (30, 144, 255)), (" White ", (255, 255, 255))]
)
def test_background_colours(name, colour):
    assert background.colour_of(background.check(name)) == colour


def test_unknown_background_is_refused_with_its_name():
    with pytest.raises(SinkError, match="'plaid' is neither checkerboard nor a colour"):
        background.check("plaid")


def test_importing_the_package_leaves_pygame_alone():
    code = (
        "import sys, engine_bridge, engine_bridge.viewer, engine_bridge.viewer.source; print('pygame' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
