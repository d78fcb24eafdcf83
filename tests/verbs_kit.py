"""Reads verbs.txt of the conformance kit, for the tests that hold a client's verbs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engine_bridge import ControlState
from tests.conformance_kit import KIT

ACTS = ("case", "do", "refuse", "sent")


@dataclass
class Step:
    """A line of the kit that is done or expected, and for `sent=yes` the lines of the state that is sent."""

    key: str
    value: str
    state: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """A verb and what it is given; the empty name for `~`."""
        verb, *words = self.value.split(" ")
        return [verb, *("" if word == "~" else word for word in words)]


def cases() -> dict[str, list[Step]]:
    """The steps of each case, by its name."""
    found: dict[str, list[Step]] = {}
    for line in (KIT / "verbs.txt").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key == "case":
            found[value] = steps = []
        elif key in ACTS:
            steps.append(Step(key, value))
        else:
            steps[-1].state.append(line)
    return found


def lines_of(state: ControlState) -> list[str]:
    """A state as the kit has it."""
    return list(_lines_of(state))


def _lines_of(state: ControlState) -> Iterator[str]:
    for name, value in sorted(state.controls.items()):
        yield f"ex.{name}={value:.4f}"
    if state.identity is not None:
        yield f"who={_person(state.identity)}"
    if state.mix is not None:
        yield f"mix={_person(state.mix.identity)} {state.mix.amount:.4f}"
    if state.truncation_psi is not None:
        yield f"psi={state.truncation_psi:.4f}"
    if state.expression is not None:
        yield f"emo={state.expression}"
    if state.calibrate:
        yield "cal=yes"


def _person(identity: str | int) -> str:
    return f"name {identity}" if isinstance(identity, str) else f"seed {identity}"


def follow(steps: list[Step], obey: Callable[[Step], object], sent: Callable[[Step], ControlState | None]) -> None:
    """Do the verbs of a case, and compare what is sent with the kit.

    Args:
        steps: of one case.
        obey: does a verb; for a step `refuse` it checks that the verb is refused.
        sent: the state that is sent now, None if nothing is.
    """
    for step in steps:
        if step.key != "sent":
            obey(step)
            continue
        state = sent(step)
        assert (step.value == "yes") == (state is not None), step
        if state is not None:
            assert lines_of(state) == step.state
