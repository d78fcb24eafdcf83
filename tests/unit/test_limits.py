"""What is counted, and the limits."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_bridge.avf.control_wire import MAX_CLIENT_ELEMENTS, decode_client_message
from engine_bridge.avf.messages import LiveStats, StreamInfo
from engine_bridge.avf.packing import MAX_ELEMENTS, unpack
from engine_bridge.avf.wire import Heartbeat, decode, encode_heartbeat
from engine_bridge.errors import MessageRejected
from engine_bridge.sockets.guard import UnfinishedMessage
from engine_bridge.sockets.subscriptions import Subscriptions

INFO = StreamInfo(5, "aki", "Aki", 256, 256, 60.0, [])


def padding(count: int) -> list[Any]:
    """An array with this many elements in all, not counting itself."""
    full, rest = divmod(count, 1001)
    return [[0] * 1000] * full + ([[0] * (rest - 1)] if rest else [])


def test_elements_are_counted_wherever_they_are() -> None:
    assert len(unpack(msgpack.packb({"x": padding(MAX_ELEMENTS - 1)}))) == 1
    for message in (
        {"x": padding(MAX_ELEMENTS)},
        {"x": [{}] * 1000, "y": [[]] * 1000, "z": [{}] * 1000, "w": [{"a": {}}] * 600},
    ):
        with pytest.raises(MessageRejected, match="more than 4096 elements") as caught:
            unpack(msgpack.packb(message))
        assert caught.value.code == "msgpack"


def test_client_may_say_less_at_once_than_a_producer() -> None:
    ping = {"k": "ping", "t": 1}
    decode_client_message(msgpack.packb({**ping, "x": padding(MAX_CLIENT_ELEMENTS - 3)}), INFO)
    with pytest.raises(MessageRejected) as caught:
        decode_client_message(msgpack.packb({**ping, "x": padding(MAX_CLIENT_ELEMENTS - 2)}), INFO)
    assert caught.value.code == "msgpack"


@given(st.lists(st.tuples(st.integers(1, 10_000), st.booleans()), max_size=50))
def test_whole_messages_are_never_taken_for_an_unfinished_one(events: list[tuple[int, bool]]) -> None:
    balance = UnfinishedMessage(forgiven_bytes=100)
    read = waiting = messages = 0
    for size, handed_over in events:
        read += size + 50
        waiting += size
        messages += 1
        if handed_over:
            assert balance.after(read, waiting, messages) == 0
            waiting = messages = 0
    assert balance.after(read + 1_000_000, waiting, messages) >= 1_000_000 - 100 * len(events)


def test_subscription_ends_with_its_connection_even_if_the_descriptor_is_used_again() -> None:
    identities: dict[int, int | None] = {4: 100, 5: 101}
    subscriptions = Subscriptions(lambda descriptor: identities[descriptor])
    assert subscriptions.add(4, b"avf1/")
    assert subscriptions.add(5, b"avf1/")
    assert subscriptions.counts == {b"avf1/": 2}
    identities[4] = 102
    assert subscriptions.add(4, b"avf1/")
    subscriptions.somebody_left(b"avf1/")
    subscriptions.sweep()
    assert subscriptions.counts == {b"avf1/": 2}
    identities[4] = identities[5] = None
    subscriptions.somebody_left(b"avf1/")
    subscriptions.sweep()
    assert not subscriptions.counts
    assert subscriptions.add(4, b"late")
    assert not subscriptions.counts


def test_broken_limits_travel_with_the_heartbeat() -> None:
    stats = LiveStats(connections=3, over_limits={"unfinished": 2})
    heartbeat = Heartbeat(stream="aki", session=1, frame_id=0, sent=0, stats=stats)
    told = decode(encode_heartbeat(heartbeat))
    assert isinstance(told, Heartbeat)
    assert told.stats == stats
