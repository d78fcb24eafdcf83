"""The state machine of a link, with time as an argument."""

from __future__ import annotations

import logging

import pytest

from engine_bridge.avf.messages import LinkState
from engine_bridge.client.liveness import FrameOrder, Liveness, Patience
from engine_bridge.sockets.zmq_sockets import OncePerSecond

S = 1_000_000_000


def alive(now_ns: int = 0) -> Liveness:
    liveness = Liveness()
    liveness.good(now_ns)
    return liveness


def test_nothing_heard_is_lost() -> None:
    assert Liveness().state(0) is LinkState.LOST
    assert Liveness().state(100 * S) is LinkState.LOST


def test_silence_makes_stale_then_lost_and_a_frame_makes_live() -> None:
    liveness = alive()
    assert liveness.state(int(1.49 * S)) is LinkState.LIVE
    assert liveness.state(int(1.5 * S)) is LinkState.STALE
    assert liveness.state(int(4.99 * S)) is LinkState.STALE
    assert liveness.state(5 * S) is LinkState.LOST
    liveness.good(60 * S)
    assert liveness.state(60 * S) is LinkState.LIVE


def test_heartbeats_alone_keep_a_link_alive() -> None:
    liveness = Liveness()
    for half_seconds in range(40):
        liveness.heartbeat(half_seconds * S // 2)
    assert liveness.state(20 * S) is LinkState.LIVE


def test_bye_is_lost_at_once() -> None:
    liveness = alive()
    liveness.bye()
    assert liveness.state(1) is LinkState.LOST


def test_thirty_bad_in_a_row_are_an_error_until_a_good_frame() -> None:
    liveness = alive()
    assert [liveness.bad(1) for _ in range(29)] == [None] * 29
    assert liveness.state(1) is LinkState.LIVE
    assert liveness.bad(1) == 0.25
    assert liveness.state(1) is LinkState.ERROR
    liveness.good(2)
    assert liveness.state(2) is LinkState.LIVE


def test_bad_ones_between_good_ones_are_not_an_error() -> None:
    liveness = alive()
    for n in range(100):
        assert [liveness.bad(n * S // 10) for _ in range(29)] == [None] * 29
        liveness.good(n * S // 10)
    assert liveness.reconnects == 0


def test_two_seconds_of_bad_ones_are_an_error() -> None:
    liveness = alive()
    assert liveness.bad(0) is None
    assert liveness.bad(int(1.9 * S)) is None
    assert liveness.bad(2 * S) == 0.25
    assert liveness.state(2 * S) is LinkState.ERROR


def test_heartbeats_do_not_excuse_bad_frames() -> None:
    liveness = alive()
    pauses = []
    for n in range(40):  # frames that cannot be read, 16 a second, and two heartbeats a second
        pauses.append(liveness.bad(n * S // 16))
        if n % 8 == 0:
            liveness.heartbeat(n * S // 16)
    assert any(pauses)
    assert liveness.state(40 * S // 16) is LinkState.ERROR


def test_heartbeats_after_the_bad_ones_have_ended_are_good() -> None:
    liveness = alive()
    for _ in range(30):
        liveness.bad(0)
    liveness.heartbeat(S)
    assert liveness.state(S) is LinkState.ERROR
    liveness.heartbeat(2 * S)
    assert liveness.state(2 * S) is LinkState.LIVE


def test_pauses_double_up_to_four_seconds_and_start_anew_after_a_good_frame() -> None:
    liveness = Liveness()
    pauses = [pause for pause in (liveness.bad(0) for _ in range(30 * 7)) if pause is not None]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    liveness.good(1)
    assert [liveness.bad(2) for _ in range(30)][-1] == 0.25


def test_refused_keys_are_an_error_until_something_good_comes() -> None:
    liveness = Liveness()
    assert [liveness.refused(n * 4 * S) for n in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
    assert liveness.state(24 * S) is LinkState.ERROR
    assert liveness.state(25 * S) is LinkState.LOST  # neither refused nor heard for five seconds
    assert liveness.reconnects == 6
    liveness.heartbeat(26 * S)
    assert liveness.state(26 * S) is LinkState.LIVE
    assert liveness.refused(27 * S) == 0.25


def test_error_without_any_message_for_five_seconds_is_lost() -> None:
    liveness = Liveness()
    for _ in range(30):
        liveness.bad(0)
    assert liveness.state(1) is LinkState.ERROR
    assert liveness.state(5 * S) is LinkState.LOST


def test_incompatible_stays_until_something_good_comes() -> None:
    liveness = alive()
    liveness.incompatible()
    assert liveness.state(100 * S) is LinkState.INCOMPATIBLE
    liveness.heartbeat(101 * S)
    assert liveness.state(101 * S) is LinkState.LIVE


def test_only_higher_numbers_are_news_and_gaps_are_counted() -> None:
    order = FrameOrder()
    assert [order.is_news(7, n) for n in (0, 1, 1, 5, 4, 6)] == [True, True, False, True, False, True]
    assert (order.late, order.missed) == (2, 3)


def test_first_number_of_a_session_is_not_a_gap() -> None:
    order = FrameOrder()
    assert order.is_news(7, 1000)
    assert order.missed == 0


def test_new_session_starts_the_numbers_anew() -> None:
    order = FrameOrder()
    assert order.is_news(7, 2**64 - 1)
    assert not order.is_news(7, 0)
    assert order.is_news(8, 0)
    assert order.is_news(8, 1)
    assert order.session == 8
    assert order.missed == 0


def test_flood_of_warnings_is_one_line_per_second(caplog: pytest.LogCaptureFixture) -> None:
    now = 0
    log = OncePerSecond(logging.getLogger("test"), clock=lambda: now)
    for now in range(0, 2 * S, S // 100):
        log.warn(f"at {now}")
    now = 2 * S
    log.warn("last")
    assert [record.getMessage() for record in caplog.records] == [
        "at 0",
        "at 1000000000 (99 more since the last line)",
        "last (99 more since the last line)",
    ]


def looks(patience: Patience, begin_ns: int, seconds: float) -> list[float]:
    """When, in seconds from the beginning, a client that checks four times a second reconnects."""
    times = [begin_ns + number * S // 4 for number in range(1, int(4 * seconds) + 1)]
    return [(time_ns - begin_ns) / S for time_ns in times if patience.is_over(time_ns)]


def test_a_silent_connection_is_given_up_after_ten_seconds_then_twice_as_many_up_to_forty() -> None:
    patience = Patience()
    patience.is_over(0)
    assert looks(patience, 0, 200.0) == [10.0, 30.0, 70.0, 110.0, 150.0, 190.0]


def test_whatever_is_heard_begins_the_ten_seconds_again() -> None:
    patience = Patience()
    patience.is_over(0)
    assert looks(patience, 0, 29.0) == [10.0]
    patience.heard()
    assert looks(patience, 29 * S, 12.0) == [10.0]


def test_time_in_which_the_client_was_suspended_is_not_silence() -> None:
    patience = Patience()
    patience.is_over(0)
    assert looks(patience, 0, 5.0) == []
    assert not patience.is_over(65 * S)
    assert looks(patience, 65 * S, 6.0) == [4.5]
