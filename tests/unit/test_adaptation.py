"""Rate and quality follow client reports, slowly up and quickly down."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_bridge.producer.adaptation import QUALITIES, QualityLadder, fps_to_draw

S = 1_000_000_000


@pytest.mark.parametrize(
    ("wanted", "subscribers", "drawn"),
    [
        ([], 0, 60.0),
        ([30.0], 1, 30.0),
        ([30.0, 24.0], 2, 30.0),
        ([30.0, 0.0], 2, 60.0),  # one does not say
        ([30.0], 2, 60.0),  # one cannot say
        ([30.0, 15.0], 1, 30.0),  # one only moves the character
        ([0.25], 1, 1.0),
        ([144.0], 1, 60.0),
    ],
)
def test_rate_is_the_highest_that_anybody_wants(wanted: list[float], subscribers: int, drawn: float) -> None:
    assert fps_to_draw(60.0, wanted, subscribers) == drawn


@given(st.lists(st.floats(0.0, 1000.0)), st.integers(0, 10), st.floats(1.0, 1000.0))
def test_rate_stays_between_one_and_the_full_one(wanted: list[float], subscribers: int, full: float) -> None:
    assert 1.0 <= fps_to_draw(full, wanted, subscribers) <= full


def play(ladder: QualityLadder, start_s: float, seconds: float, age_ms: float) -> list[tuple[float, int]]:
    """Report one client's age twice a second; returns when the quality changed, and its new value."""
    changes = []
    for tick in range(int(2 * seconds)):
        now_s, before = start_s + tick / 2, ladder.quality
        if ladder.step({"game": age_ms}, int(now_s * S)) != before:
            changes.append((now_s, ladder.quality))
    return changes


def test_quality_falls_every_two_seconds_while_frames_are_old_and_no_further_than_the_ladder() -> None:
    ladder = QualityLadder(95)
    play(ladder, 0, 1, 10.0)
    assert play(ladder, 1, 20, 200.0) == [(3.0, 85), (5.5, 70), (8.0, 50)]


def test_quality_rises_every_ten_seconds_while_frames_are_young() -> None:
    ladder = QualityLadder(50)
    assert play(ladder, 0, 60, 10.0) == [(10.0, 70), (20.5, 85), (31.0, 95)]


def test_short_hitch_changes_nothing() -> None:
    ladder = QualityLadder(85)
    play(ladder, 0, 5, 10.0)
    assert play(ladder, 5, 2, 200.0) == []
    assert play(ladder, 7, 9, 10.0) == []
    assert play(ladder, 16, 3, 10.0) == [(17.0, 95)]


def test_ages_between_the_bounds_change_nothing() -> None:
    ladder = QualityLadder(85)
    play(ladder, 0, 1, 10.0)
    assert play(ladder, 1, 100, 55.0) == []


def test_step_up_that_does_not_hold_is_tried_less_and_less_often() -> None:
    ladder = QualityLadder(85)
    play(ladder, 0, 1, 10.0)
    now_s, ups = 1.0, []
    while now_s < 400.0:  # the network carries 85 and not 95
        changes = play(ladder, now_s, 0.5, 200.0 if ladder.quality == 95 else 10.0)
        ups += [at for at, quality in changes if quality == 95]
        now_s += 0.5
    waits = [later - earlier for earlier, later in pairwise(ups)]
    assert waits == [23.0, 43.0, 83.0, 163.0]  # three seconds until the failure is detected


def test_median_client_counts() -> None:
    ladder = QualityLadder(85)
    ladder.step({"a": 10.0, "b": 10.0, "c": 10.0}, 0)
    for second in range(1, 8):
        assert ladder.step({"a": 10.0, "b": 10.0, "c": 2000.0}, second * S) == 85
    for second in range(8, 11):
        ladder.step({"a": 10.0, "b": 500.0, "c": 2000.0}, second * S)
    assert ladder.quality == 70


@pytest.mark.parametrize("offset_ms", [-5000.0, 5000.0])
def test_clocks_that_disagree_do_not_count(offset_ms: float) -> None:
    ladder = QualityLadder(50)
    play(ladder, 0, 60, 10.0 + offset_ms)
    assert ladder.quality == 95
    assert play(ladder, 60, 2.5, 200.0 + offset_ms) == [(62.0, 85)]


def test_nobody_reports_and_nothing_changes() -> None:
    ladder = QualityLadder(70)
    assert {ladder.step({}, second * S) for second in range(100)} == {70}


@pytest.mark.parametrize(("wanted", "begins"), [(100, 95), (95, 95), (90, 85), (60, 50), (1, 50)])
def test_ladder_begins_on_a_step(wanted: int, begins: int) -> None:
    assert QualityLadder(wanted).quality == begins


@given(st.lists(st.tuples(st.integers(0, 20), st.dictionaries(st.integers(0, 3), st.floats(-1e9, 1e9)))))
def test_any_reports_keep_the_quality_on_the_ladder(reports: list[tuple[int, dict[int, float]]]) -> None:
    ladder, now = QualityLadder(), 0
    for seconds, ages in reports:
        now += seconds * S
        assert ladder.step(ages, now) in QUALITIES
