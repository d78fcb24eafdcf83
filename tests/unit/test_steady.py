"""The sustainable rate: down at once and far enough, up patiently, and no oscillation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.live.steady import RATES, SteadyRate, lost

MS = 1_000_000


class Machine:
    """A loop with given round times, with time passing accordingly."""

    def __init__(self, fps: float = 60.0) -> None:
        self.rate = SteadyRate(fps)
        self.now = 5_000 * MS
        self.looked = self.now
        self.heard: list[float] = []

    def plays(self, seconds: float, *took_ms: float) -> None:
        """Rounds of these lengths, in turn."""
        end, index = self.now + int(seconds * 1e9), 0
        while self.now < end:
            took = int(took_ms[index % len(took_ms)] * MS)
            index += 1
            self.rate.add(took)
            self.now += max(took, int(1e9 / self.rate.fps))
            if self.now - self.looked >= 500 * MS:
                self.looked = self.now
                if self.rate.decide(self.now):
                    self.heard.append(self.rate.fps)


def test_a_machine_that_holds_the_rate_is_left_alone() -> None:
    machine = Machine()
    machine.plays(30, 9, 12, 15, *[10] * 40, 25)  # one late frame in 44
    assert machine.heard == []
    assert machine.rate.note == ""


def test_rounds_that_are_late_and_catch_up_change_nothing() -> None:
    machine = Machine()
    machine.plays(30, *[12] * 6, 19, 19)  # a quarter of them longer than a period, 13.75 ms on average
    assert machine.heard == []


def test_one_hiccup_changes_nothing_however_long() -> None:
    machine = Machine()
    machine.plays(3, 10)
    machine.plays(0.5, 500)
    machine.plays(10, 10)
    assert machine.heard == []


def test_a_round_loses_a_frame_when_nothing_catches_up_with_it() -> None:
    assert lost([10, 20, 10, 20], 16) == 0
    assert lost([20] * 100, 16) == pytest.approx(0.25, abs=0.02)
    assert lost([100, 1, 1, 1], 16) == 0.25
    assert lost([], 16) == 0


def test_it_goes_down_within_two_seconds_to_a_rate_that_is_held() -> None:
    for took, wanted in ((18, 40), (26, 30), (35, 24), (80, 24)):
        machine = Machine()
        machine.plays(2, took)
        assert machine.heard == [wanted]
        assert f"{wanted} frames per second" in machine.rate.note
        machine.plays(20, took)
        assert machine.heard == [wanted]


def test_it_comes_back_when_the_load_goes() -> None:
    machine = Machine()
    machine.plays(5, 35)
    assert machine.rate.fps == 24
    machine.plays(30, 9)
    assert machine.heard == [24, 30, 40, 60]
    assert machine.rate.note == ""


def test_a_rate_that_keeps_failing_is_tried_ever_less_often() -> None:
    machine = Machine()
    for _ in range(60 * 4):  # four minutes: room at 40, none at 60
        machine.plays(1, *((20, 15, 20) if machine.rate.fps == 60 else (14, 14, 14)))
    raised = [rate for rate in machine.heard if rate == 60]
    assert 2 <= len(raised) <= 6
    assert set(machine.heard) == {40.0, 60.0}


def test_what_was_before_a_pause_does_not_count() -> None:
    machine = Machine()
    machine.plays(0.9, 40)
    machine.rate.forget()
    machine.plays(10, 9)
    assert machine.heard == []


def test_another_engine_begins_with_what_was_asked_for() -> None:
    machine = Machine()
    machine.plays(3, 35)
    assert machine.rate.fps == 24
    machine.rate.start_over()
    assert machine.rate.fps == 60
    machine.plays(10, 9)
    assert machine.heard == [24]


def test_a_low_rate_that_was_asked_for_has_only_lower_ones_below_it() -> None:
    machine = Machine(30.0)
    machine.plays(3, 36)
    assert machine.heard == [24.0]
    assert Machine(12.0).rate.fps == 12.0
    slow = Machine(12.0)
    slow.plays(5, 200)
    assert slow.heard == []


@given(st.lists(st.floats(0.1, 400), min_size=1, max_size=40), st.sampled_from((240.0, 60.0, 30.0, 10.0)))
def test_it_stays_among_the_rates(took_ms: list[float], fps: float) -> None:
    machine = Machine(fps)
    machine.plays(20, *took_ms)
    assert set(machine.heard) <= {fps, *RATES}
    assert machine.rate.fps <= fps
