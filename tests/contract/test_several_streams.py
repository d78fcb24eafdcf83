"""Several streams on one socket: each client receives its own, each stream counts its own viewers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine_bridge import Frame, LinkState, Publisher, Subscriber, WireError
from engine_bridge.sockets.frame_socket import FrameSocket

FREE_PORT = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(150)


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def frame(frame_id: int) -> Frame:
    return Frame(np.full((8, 8, 4), frame_id % 256, np.uint8), frame_id, 0, "", 1, 2, 0, 3, 4, "synthetic")


def arrives(subscriber: Subscriber, *publishers: Publisher) -> Frame:
    """The next frame, while the publishers poll like in a live loop."""
    taken: list[Frame] = []
    eventually(lambda: ([p.poll() for p in publishers], taken.extend(filter(None, [subscriber.latest()])), taken)[-1])
    return taken[0]


@pytest.fixture
def socket() -> Iterator[FrameSocket]:
    with FrameSocket(FREE_PORT) as socket:
        yield socket


@pytest.fixture
def pair(socket: FrameSocket) -> Iterator[tuple[Publisher, Publisher]]:
    with (
        Publisher(socket, stream="aki", session=1, control_endpoint="tcp://127.0.0.1:1") as aki,
        Publisher(socket, stream="ren", session=2, control_endpoint="tcp://127.0.0.1:2") as ren,
    ):
        yield aki, ren


def test_each_client_hears_its_own_stream(pair: tuple[Publisher, Publisher]) -> None:
    aki, ren = pair
    assert aki.endpoint == ren.endpoint
    with Subscriber(aki.endpoint, stream="aki") as hers, Subscriber(aki.endpoint, stream="ren") as his:
        eventually(lambda: aki.has_subscribers and ren.has_subscribers)
        numbers = iter(range(1, 100_000))

        def play() -> None:
            number = next(numbers)
            aki.publish(frame(number))
            ren.publish(frame(100_000 + number))

        for subscriber, stream, session in ((hers, "aki", 1), (his, "ren", 2)):
            eventually(lambda: (play(), subscriber.statistics.received > 10)[-1])  # noqa: B023
            came = subscriber.latest()
            assert came is not None
            assert (came.stream, came.session, came.frame_id > 100_000) == (stream, session, stream == "ren")
            eventually(lambda: (play(), subscriber.control_endpoint)[-1])  # noqa: B023
            assert subscriber.control_endpoint == f"tcp://127.0.0.1:{session}"
            assert subscriber.statistics.bad == {}
    eventually(lambda: not aki.has_subscribers and not ren.has_subscribers)


def test_each_stream_counts_its_own_watchers(pair: tuple[Publisher, Publisher]) -> None:
    aki, ren = pair
    with Subscriber(aki.endpoint, stream="ren"):
        eventually(lambda: ren.subscriber_count == 1)
        assert aki.subscriber_count == 0
        with Subscriber(aki.endpoint, stream="aki"):
            eventually(lambda: aki.subscriber_count == 1)
            assert ren.subscriber_count == 1


def test_late_joiner_gets_the_last_frame_of_its_stream_whichever_stream_polls(socket: FrameSocket) -> None:
    # A clock that stands still: only greetings go out, nothing that comes twice a second.
    with (
        Publisher(socket, stream="aki", clock=lambda: 1) as aki,
        Publisher(socket, stream="ren", clock=lambda: 1) as ren,
    ):
        aki.publish(frame(1))
        ren.publish(frame(2))
        with Subscriber(socket.endpoint, stream="ren") as late:
            # The other stream reads the socket's events first; they must reach this one all the same.
            came = arrives(late, aki, ren)
        assert (came.stream, came.frame_id) == ("ren", 2)


def test_client_that_names_no_stream_follows_one(pair: tuple[Publisher, Publisher]) -> None:
    aki, ren = pair
    with Subscriber(aki.endpoint) as subscriber:
        eventually(lambda: aki.has_subscribers and ren.has_subscribers)
        for number in range(1, 20):
            aki.publish(frame(number))
            ren.publish(frame(number))
            time.sleep(0.005)
        came = arrives(subscriber, aki, ren)
        assert subscriber.stream == came.stream
        assert subscriber.statistics.late == 0


def test_one_stream_may_end_while_the_other_goes_on(socket: FrameSocket) -> None:
    with Publisher(socket, stream="ren", session=2) as ren:
        aki = Publisher(socket, stream="aki", session=1)
        with Subscriber(socket.endpoint, stream="aki") as hers, Subscriber(socket.endpoint, stream="ren") as his:
            numbers = iter(range(1, 100_000))
            # Repeatedly: a queue of two that is full of greetings loses a frame.
            eventually(lambda: (aki.publish(frame(next(numbers))), hers.statistics.received)[-1])
            time.sleep(0.2)  # a bye behind greetings would be lost with them
            aki.close()
            aki.close()
            eventually(lambda: hers.state is LinkState.LOST)
            eventually(lambda: (ren.publish(frame(next(numbers))), his.statistics.received)[-1])
            assert his.state is LinkState.LIVE
    assert not socket.closed


def test_a_publisher_with_an_endpoint_of_its_own_frees_it() -> None:
    with Publisher(FREE_PORT, stream="aki") as publisher:
        endpoint = publisher.endpoint
        with pytest.raises(WireError, match="Cannot bind"):
            FrameSocket(endpoint)
    with FrameSocket(endpoint) as again:
        assert again.endpoint == endpoint
