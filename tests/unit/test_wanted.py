from __future__ import annotations

import math

import numpy as np
import pytest

from engine_bridge import ControlState, Wanted, WireError
from tests import verbs_kit
from tests.verbs_kit import Step

CASES = verbs_kit.cases()


def obey(wanted: Wanted, words: list[str]) -> None:
    verb, *given = words
    method = {"become_seed": "become", "mix_seed": "mix"}.get(verb, verb)
    arguments: list[str | int | float] = list(given)
    if verb in ("hold", "mix", "mix_seed", "truncate"):
        arguments[-1] = float(given[-1])
    if verb.endswith("_seed"):
        arguments[0] = int(given[0])
    getattr(wanted, method)(*arguments)


@pytest.mark.parametrize("name", CASES)
def test_verbs_send_what_the_kit_says(name: str) -> None:
    wanted = Wanted()

    def do(step: Step) -> None:
        if step.key == "do":
            obey(wanted, step.words)
        else:
            with pytest.raises(WireError):
                obey(wanted, step.words)

    verbs_kit.follow(CASES[name], do, lambda _: wanted.take())


def test_kit_has_enough_to_do() -> None:
    assert len(CASES) > 8
    assert sum(step.key == "sent" for steps in CASES.values() for step in steps) > 40


def test_numbers_of_numpy_are_taken_and_what_is_no_number_is_not() -> None:
    wanted = Wanted()
    wanted.hold("jawOpen", np.float32(0.5))  # type: ignore[arg-type]
    assert wanted.take() == ControlState(controls={"jawOpen": 0.5})
    with pytest.raises(WireError, match="jawOpen"):
        wanted.hold("jawOpen", "wide")  # type: ignore[arg-type]
    with pytest.raises(WireError, match="jawOpen is not finite"):
        wanted.hold("jawOpen", math.inf)
    assert wanted.take() is None


def test_state_that_was_taken_is_nobody_elses() -> None:
    wanted = Wanted()
    wanted.hold("jawOpen", 0.5)
    state = wanted.take()
    wanted.hold("jawOpen", 1.0)
    assert state == ControlState(controls={"jawOpen": 0.5})


def test_repeating_gives_everything_but_what_was_never_changed_and_no_calibration() -> None:
    wanted = Wanted()
    wanted.repeat()
    assert wanted.take() is None
    wanted.become("Aki")
    wanted.calibrate()
    wanted.take()
    wanted.repeat()
    assert wanted.take() == ControlState(identity="Aki")
