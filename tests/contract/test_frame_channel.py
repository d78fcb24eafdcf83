"""Publisher and subscriber over real tcp sockets: newest wins, nothing blocks, garbage does no harm."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import psutil
import pytest
import zmq

from engine_bridge import ClientStats, Frame, LinkState, LiveStats, Provenance, Publisher, Subscriber, WireError
from engine_bridge.avf.wire import Bye, FrameMessage, Heartbeat, decode, encode_frame
from engine_bridge.clock import now_ns

FREE_PORT = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0


def eventually(condition: Callable[[], Any], *, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def frame(frame_id: int, side: int = 8, fill: int | None = None) -> Frame:
    pixels = np.full((side, side, 4), frame_id % 256 if fill is None else fill, np.uint8)
    return Frame(pixels, frame_id, 0, "", 1, 2, 0, 3, 4, "synthetic")


def frame_parts(frame_id: int, stream: str = "aki", session: int = 1) -> list[bytes | memoryview]:
    return list(encode_frame(frame(frame_id), stream=stream, session=session, publish_ns=now_ns()))


@contextmanager
def raw_socket(kind: int, *, bind: str = "", connect: str = "", hwm: int = 1000) -> Iterator[Any]:
    """A ZeroMQ socket without our safeguards, for hostile and foreign peers."""
    context: Any = zmq.Context()
    socket = context.socket(kind)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = hwm
    if kind == zmq.SUB:
        socket.subscribe(b"")
    try:
        if bind:
            socket.bind(bind)
        if connect:
            socket.connect(connect)
        yield socket
    finally:
        socket.close()
        context.term()


def deliver(publisher: Publisher, subscriber: Subscriber, sent: Frame) -> None:
    """Publish, and wait until the frame has arrived."""
    before = subscriber.statistics.received
    publisher.publish(sent)
    eventually(lambda: subscriber.statistics.received > before)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(FREE_PORT, stream="aki", session=77) as publisher:
        yield publisher


@pytest.fixture
def subscriber(publisher: Publisher) -> Iterator[Subscriber]:
    with Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        yield subscriber


def test_frame_arrives_with_all_that_is_known_about_it(publisher: Publisher, subscriber: Subscriber) -> None:
    sent = frame(5, side=33)
    publisher.publish(sent)
    came = subscriber.wait(PATIENCE_S)
    assert came is not None
    assert np.array_equal(came.pixels, sent.pixels)
    assert (came.frame_id, came.session, came.stream, came.provider) == (5, 77, "aki", "synthetic")
    assert (came.capture_ns, came.render_start_ns, came.control_id, came.control_timestamp_ns) == (1, 2, 3, 4)
    assert 0 < came.publish_ns <= now_ns()
    assert subscriber.state is LinkState.LIVE
    assert (subscriber.stream, subscriber.session) == ("aki", 77)
    assert subscriber.latest() is None


def test_pixels_may_be_overwritten_after_publishing(publisher: Publisher, subscriber: Subscriber) -> None:
    pixels = np.full((512, 512, 4), 9, np.uint8)
    publisher.publish(Frame(pixels, 1, 0, "", 0, 0, 0, 0, 0, ""))
    pixels[:] = 0
    came = subscriber.wait(PATIENCE_S)
    assert came is not None
    assert (came.pixels == 9).all()


def test_taken_frame_stays_as_it_is(publisher: Publisher, subscriber: Subscriber) -> None:
    deliver(publisher, subscriber, frame(1, side=256, fill=1))
    first = subscriber.latest()
    for frame_id in range(2, 12):
        deliver(publisher, subscriber, frame(frame_id, side=256))
    assert first is not None
    assert (first.pixels == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        first.pixels[0] = 0


def test_newest_frame_wins_and_the_others_are_counted(publisher: Publisher, subscriber: Subscriber) -> None:
    for frame_id in range(1, 11):
        deliver(publisher, subscriber, frame(frame_id))
    came = subscriber.latest()
    assert came is not None
    assert came.frame_id == 10
    statistics = subscriber.statistics
    assert (statistics.received, statistics.shown, statistics.skipped, statistics.missed) == (10, 1, 9, 0)
    assert statistics.age_arrival_ms_p50 is not None
    assert statistics.age_take_ms_p99 is not None
    told = subscriber.report()
    assert (told.shown, told.dropped) == (1, 9)
    assert told.age_p50_ms == statistics.age_take_ms_p50
    assert subscriber.report() == ClientStats(shown=1, dropped=9)  # no frame was taken since


def test_size_may_change_between_frames(publisher: Publisher, subscriber: Subscriber) -> None:
    for frame_id, side in ((1, 4), (2, 300), (3, 1)):
        deliver(publisher, subscriber, frame(frame_id, side=side))
        came = subscriber.latest()
        assert came is not None
        assert came.pixels.shape == (side, side, 4)


def test_there_are_subscribers_only_while_one_is_connected(publisher: Publisher) -> None:
    assert not publisher.has_subscribers
    listening = publisher.socket.subscriptions
    with Subscriber(publisher.endpoint, stream="other") as other:
        # It listens to all versions until it has heard which one is spoken here; that does not count as watching.
        eventually(lambda: (publisher.poll(), b"avf" in listening)[-1])
        eventually(lambda: (publisher.poll(), b"avf" not in listening)[-1])
        assert not publisher.has_subscribers
        with Subscriber(publisher.endpoint), Subscriber(publisher.endpoint, stream="aki"):
            eventually(lambda: publisher.subscriber_count == 2)
            with raw_socket(zmq.SUB, connect=publisher.endpoint):
                eventually(lambda: publisher.subscriber_count == 3)
        assert other.latest() is None
    eventually(lambda: not publisher.has_subscribers)


def test_subscribers_are_counted_once_they_are_greeted(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint) as one, Subscriber(publisher.endpoint) as two:
        eventually(lambda: (publisher.poll(), one.state, two.state)[1:] == (LinkState.LIVE, LinkState.LIVE))
        eventually(lambda: publisher.subscriber_count == 2)


def test_late_joiner_is_sent_heartbeat_and_last_frame_at_once(publisher: Publisher) -> None:
    publisher.heartbeat(LiveStats(provider="synthetic", fps=60.0))
    publisher.publish(frame(41))
    publisher.publish(frame(42))
    with Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        came = subscriber.wait(PATIENCE_S)
        assert came is not None
        assert came.frame_id == 42
        assert subscriber.stats is not None
        assert subscriber.stats.provider == "synthetic"
        assert subscriber.provenance == Provenance(ai=True)


def test_frame_sent_again_is_late(publisher: Publisher, subscriber: Subscriber) -> None:
    deliver(publisher, subscriber, frame(1))
    late = subscriber.statistics.late
    publisher.resend_last()
    eventually(lambda: subscriber.statistics.late > late)
    assert subscriber.statistics.received == 1


def test_heartbeats_come_twice_a_second_and_know_the_way_to_the_controls() -> None:
    clock = [10**9]
    with (
        Publisher(FREE_PORT, stream="aki", control_endpoint="tcp://127.0.0.1:9", clock=lambda: clock[0]) as publisher,
        raw_socket(zmq.SUB, connect=publisher.endpoint) as watcher,
    ):
        eventually(lambda: publisher.has_subscribers)
        for clock[0] in range(10**9, 3 * 10**9, 10**7):
            publisher.heartbeat(LiveStats(fps=1.0))
            publisher.poll()
            time.sleep(0.001)
        publisher.publish(frame(1))
        came: list[Any] = []
        while not came or isinstance(came[-1], Heartbeat):
            assert watcher.poll(PATIENCE_S * 1000)
            came.append(decode(watcher.recv_multipart()))
        # One greets the watcher at 1.0 s, where one was due anyway; then 1.5 s, 2.0 s and 2.5 s.
        assert 4 <= len(came) - 1 <= 5
        assert came[-2].stats == LiveStats(fps=1.0)
        assert came[-2].control_endpoint == "tcp://127.0.0.1:9"
        assert came[-2].unix_offset_ns is not None


def test_first_frame_and_heartbeats_tell_where_the_pictures_come_from() -> None:
    provenance = Provenance(model="sha256:00", generator="bunraku 0.1.0", source="CC0-1.0")
    with (
        Publisher(FREE_PORT, stream="aki", provenance=provenance) as publisher,
        raw_socket(zmq.SUB, connect=publisher.endpoint) as watcher,
    ):
        eventually(lambda: publisher.has_subscribers)
        # As far apart as a live loop's: libzmq notices only after some milliseconds that its queue of two has room.
        period_ms = 50
        frames: list[FrameMessage] = []
        for number in (1, 2):
            while watcher.poll(period_ms):
                message = decode(watcher.recv_multipart())
                assert isinstance(message, Heartbeat)
                assert message.provenance == provenance
            publisher.publish(frame(number))
            while len(frames) < number:
                assert watcher.poll(PATIENCE_S * 1000)
                came = decode(watcher.recv_multipart())
                if isinstance(came, FrameMessage):
                    frames.append(came)
        assert [message.provenance for message in frames] == [provenance, None]


def test_bye_is_lost_at_once_and_the_last_frame_stays(publisher: Publisher, subscriber: Subscriber) -> None:
    deliver(publisher, subscriber, frame(3))
    assert subscriber.state is LinkState.LIVE
    publisher.close()
    publisher.close()
    eventually(lambda: subscriber.state is LinkState.LOST)
    came = subscriber.latest()
    assert came is not None
    assert came.frame_id == 3


def test_numbers_must_rise(publisher: Publisher) -> None:
    publisher.publish(frame(3))
    with pytest.raises(WireError, match="frame 3 after frame 3 of stream aki"):
        publisher.publish(frame(3))


def test_publisher_never_waits(publisher: Publisher) -> None:
    """Neither for one that connects and never reads, nor for one that vanishes."""
    with raw_socket(zmq.SUB, connect=publisher.endpoint, hwm=1):
        eventually(lambda: publisher.has_subscribers)
        for frame_id in range(1, 201):
            publisher.publish(frame(frame_id, side=256))
    for frame_id in range(201, 301):
        publisher.publish(frame(frame_id, side=256))
    assert publisher.sent == 300


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.0.2.1:5760"])
def test_other_machines_are_kept_out(endpoint: str) -> None:
    with pytest.raises(WireError, match="other machines"):
        Publisher(endpoint, stream="aki")


def test_taken_port_is_reported(publisher: Publisher) -> None:
    with pytest.raises(WireError, match=r"Cannot bind .*in use.*another port"):
        Publisher(publisher.endpoint, stream="aki")


def test_restarted_producer_is_followed_although_its_numbers_start_anew(tcp_endpoint: str) -> None:
    with Subscriber(tcp_endpoint, stream="aki") as subscriber:
        for session, frame_id in ((1, 1000), (2, 1), (3, 1)):
            with Publisher(tcp_endpoint, stream="aki", session=session) as publisher:
                eventually(lambda publisher=publisher: publisher.has_subscribers)
                publisher.publish(frame(frame_id))
                came = subscriber.wait(PATIENCE_S)
                assert came is not None
                assert (came.session, came.frame_id) == (session, frame_id)
                eventually(lambda: subscriber.state is LinkState.LIVE)
            eventually(lambda: subscriber.state is LinkState.LOST)
        assert subscriber.statistics.late == 0
        assert subscriber.statistics.missed == 0


def test_first_stream_heard_is_kept_and_the_others_are_left_alone(tcp_endpoint: str) -> None:
    with raw_socket(zmq.XPUB, bind=tcp_endpoint) as rogue, Subscriber(tcp_endpoint) as subscriber:
        assert rogue.poll(PATIENCE_S * 1000)
        for frame_id in range(1, 20):
            for stream in ("aki", "ren", "aki2"):
                rogue.send_multipart(frame_parts(frame_id, stream))
        eventually(lambda: subscriber.statistics.received == 19)
        assert subscriber.stream == "aki"
        assert subscriber.statistics.bad == {}


def test_stream_whose_name_begins_alike_is_another_stream(tcp_endpoint: str) -> None:
    with raw_socket(zmq.XPUB, bind=tcp_endpoint) as rogue, Subscriber(tcp_endpoint, stream="aki") as subscriber:
        assert rogue.poll(PATIENCE_S * 1000)
        rogue.send_multipart(frame_parts(1, "aki2"))
        rogue.send_multipart(frame_parts(2, "aki"))
        came = subscriber.wait(PATIENCE_S)
        assert came is not None
        assert came.frame_id == 2


def test_wrong_name_of_a_stream_is_told_with_the_names_there_are(tcp_endpoint: str) -> None:
    with Publisher(tcp_endpoint, stream="aki") as publisher, Subscriber(tcp_endpoint, stream="aky") as subscriber:
        numbers = itertools.count(1)
        eventually(lambda: publisher.publish(frame(next(numbers))) or subscriber.last_error != "")
        assert subscriber.last_error == f"There is no stream aky at {tcp_endpoint}; it plays aki"
        assert subscriber.state is LinkState.LOST


def test_other_major_version_is_told_from_silence_and_left_behind_when_ours_comes(tcp_endpoint: str) -> None:
    with Subscriber(tcp_endpoint) as subscriber:
        with raw_socket(zmq.XPUB, bind=tcp_endpoint) as future:
            while subscriber.state is not LinkState.INCOMPATIBLE:
                future.send_multipart([b"avf2/aki", b"anything at all"])
                time.sleep(0.01)
            assert "avf/2" in subscriber.last_error
            # It no longer subscribes to that version.
            events = []
            while not events or events[-1] != b"\x00avf":
                assert future.poll(PATIENCE_S * 1000)
                events.append(future.recv())
        with Publisher(tcp_endpoint, stream="aki") as publisher:
            eventually(lambda: publisher.has_subscribers)
            eventually(lambda: subscriber.state is LinkState.LIVE)


GARBAGE = [
    [b"avf1/aki"],
    [b"avf1/aki", b""],
    [b"avf1/aki", b"\xdd\x0f\xff\xff\xff", b"x"],
    [b"avf1/aki", b"\x91" * 5000, b"x"],
    [b"avf1/aki", b"\x80" * 70_000],
    [b"avf1/aki", bytes(range(256)), bytes(1000)],
    [b"avf1/aki", msgpack.packb({"k": "f", "v": 0, "ses": 1, "id": 1})],
    [b"avf1/\xff", b""],
    [b"avf1/aki", *[b""] * 500],
    [*frame_parts(1)[:2], b"truncated"],
]


def test_ten_thousand_bad_messages_do_no_harm(tcp_endpoint: str) -> None:
    process = psutil.Process()
    with raw_socket(zmq.XPUB, bind=tcp_endpoint, hwm=0) as rogue, Subscriber(tcp_endpoint) as subscriber:
        assert rogue.poll(PATIENCE_S * 1000)
        resident = 0
        for n in range(1, 501):
            for bad in GARBAGE * 2:
                rogue.send_multipart(bad)
            rogue.send_multipart(frame_parts(n))
            eventually(lambda n=n: subscriber.statistics.received == n)
            if n == 100:
                resident = process.memory_info().rss
        assert process.memory_info().rss - resident < 20_000_000
        assert sum(subscriber.statistics.bad.values()) == 10_000
        assert set(subscriber.statistics.bad) == {"parts", "msgpack", "header_size", "topic", "header", "size"}
        came = subscriber.latest()
        assert came is not None
        assert came.frame_id == 500
        assert subscriber.state is LinkState.LIVE


def test_nothing_but_bad_messages_is_an_error_until_a_good_one_comes(tcp_endpoint: str) -> None:
    with raw_socket(zmq.XPUB, bind=tcp_endpoint) as rogue, Subscriber(tcp_endpoint) as subscriber:
        while subscriber.statistics.reconnects < 2:
            rogue.send_multipart(GARBAGE[1])
            time.sleep(0.001)
        assert subscriber.state is LinkState.ERROR
        assert subscriber.last_error
        frame_id = 0
        while subscriber.state is not LinkState.LIVE:
            frame_id += 1
            rogue.send_multipart(frame_parts(frame_id))
            time.sleep(0.01)
        assert subscriber.latest() is not None


def test_closing_needs_no_producer_and_no_second_call(tcp_endpoint: str) -> None:
    subscriber = Subscriber(tcp_endpoint)
    assert subscriber.state is LinkState.LOST
    assert subscriber.latest() is None
    assert subscriber.wait(0.01) is None
    subscriber.close()
    subscriber.close()
    for _ in range(20):
        Subscriber(tcp_endpoint).close()


def test_program_that_forgets_to_close_still_ends(tcp_endpoint: str) -> None:
    forgetful = (
        "from engine_bridge import ControlClient, Publisher, Subscriber\n"
        "publisher = Publisher('tcp://127.0.0.1:0', stream='aki')\n"
        "subscriber = Subscriber(publisher.endpoint)\n"
        f"client = ControlClient('{tcp_endpoint}')\n"
        "while not publisher.has_subscribers: pass\n"
        "print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", forgetful], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.skipif(not zmq.has("ipc"), reason="this libzmq was built without ipc://")
def test_file_of_an_ipc_endpoint_is_gone_after_the_end_and_never_taken_from_a_producer(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    with Publisher(f"ipc://{path}", stream="aki") as publisher, Subscriber(publisher.endpoint) as subscriber:
        with pytest.raises(WireError, match="something is listening there"):
            Publisher(f"ipc://{path}", stream="neko")
        eventually(lambda: publisher.has_subscribers)
        deliver(publisher, subscriber, frame(1))
        assert path.is_socket()
    assert not path.exists()


@pytest.mark.skipif(not zmq.has("ipc"), reason="this libzmq was built without ipc://")
def test_file_of_a_killed_producer_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    with raw_socket(zmq.XPUB, bind=f"ipc://{path}"):
        pass  # libzmq leaves the file behind
    assert path.is_socket()
    with Publisher(f"ipc://{path}", stream="aki") as publisher, Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        deliver(publisher, subscriber, frame(1))


def test_bye_arrives_although_the_queue_was_full_and_does_not_wait_for_stuck_peers(tcp_endpoint: str) -> None:
    for _ in range(20):
        publisher = Publisher(tcp_endpoint, stream="aki", shared_memory=False)
        with raw_socket(zmq.SUB, connect=tcp_endpoint) as watcher, raw_socket(zmq.SUB, connect=tcp_endpoint, hwm=1):
            eventually(lambda publisher=publisher: publisher.subscriber_count == 2)
            for frame_id in range(1, 8):  # faster than a queue of two drains
                publisher.publish(frame(frame_id, side=64))
            publisher.close()
            came: Any = None
            while not isinstance(came, Bye):
                assert watcher.poll(PATIENCE_S * 1000), "no bye came"
                came = decode(watcher.recv_multipart())
