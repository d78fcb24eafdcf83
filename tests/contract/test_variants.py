"""The same frames in every variant, over real sockets; shared memory where available, otherwise raw."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_bridge import Frame, LinkState, Publisher, Subscriber, WireError
from engine_bridge.avf.shared_memory import SharedMemory, SharedMemoryReader
from engine_bridge.avf.wire import Heartbeat, encode_frame, encode_heartbeat
from engine_bridge.producer.last_frame import RING_RETRY_NS, LastFrame
from tests.conftest import REPOSITORY, RunProgram

FREE_PORT = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0
SMALL_MEMORY = (
    sys.platform == "linux"
    and os.geteuid() == 0
    and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def frame(frame_id: int, side: int = 32) -> Frame:
    y, x = np.mgrid[0:side, 0:side]
    pixels = np.stack([x * 7 % 256, y * 7 % 256, (x + y) % 256, np.full_like(x, frame_id % 256)], -1).astype(np.uint8)
    return Frame(pixels, frame_id, 0, "", 1, 2, 0, 3, 4, "synthetic")


def play_until(publisher: Publisher, condition: Callable[[], Any], *, start: int = 1, side: int = 32) -> int:
    """Publish frame after frame, like a live loop, until a condition holds; returns the next number."""
    number = start
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        publisher.publish(frame(number, side))
        number += 1
        time.sleep(0.01)
    return number


@pytest.mark.parametrize("variant", ["raw", "lz4", "jpeg", "shm"])
def test_every_variant_brings_the_same_frames(variant: str) -> None:
    with Publisher(FREE_PORT, stream="aki") as publisher, Subscriber(publisher.endpoint, stream="aki") as reference:
        with Subscriber(publisher.endpoint, stream="aki", variant=variant) as subscriber:
            eventually(lambda: publisher.subscriber_count >= 2)
            play_until(publisher, lambda: subscriber.statistics.received >= 10)
            came = subscriber.latest()
            assert came is not None
            sent = frame(came.frame_id).pixels
            assert np.array_equal(came.pixels[..., 3], sent[..., 3])
            assert np.abs(came.pixels.astype(int) - sent).max() <= (40 if variant == "jpeg" else 0)
            assert (came.capture_ns, came.control_id, came.provider) == (1, 3, "synthetic")
            assert subscriber.variant == variant
            assert subscriber.statistics.bad == {}
        assert reference.statistics.bad == {}


def test_client_of_this_host_changes_over_to_shared_memory_and_stays_live() -> None:
    with Publisher(FREE_PORT, stream="aki") as publisher, Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        number = play_until(publisher, lambda: subscriber.variant == "shm")
        eventually(lambda: publisher._wanted() == ["shm"] if publisher.has_subscribers else False)
        play_until(publisher, lambda: subscriber.statistics.received >= number + 10, start=number)
        came = subscriber.latest()
        assert came is not None
        assert np.array_equal(came.pixels, frame(came.frame_id).pixels)
        assert not came.pixels.flags.writeable
        # The greeting under the new topic fills the queue of two; a frame drawn at that moment may be lost.
        assert subscriber.statistics.missed <= 2
        assert subscriber.state is LinkState.LIVE
        assert subscriber.statistics.bad == {}


def test_larger_frames_get_a_larger_ring() -> None:
    with Publisher(FREE_PORT, stream="aki") as publisher, Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        number = play_until(publisher, lambda: subscriber.variant == "shm")
        for side in (100, 20, 301):
            number = play_until(
                publisher,
                lambda side=side: (came := subscriber.latest()) is not None and came.pixels.shape == (side, side, 4),
                start=number,
                side=side,
            )
        assert subscriber.variant == "shm"
        assert subscriber.statistics.bad == {}


def test_client_goes_back_to_raw_when_the_ring_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when producer and client share a network but not memory, for example in two containers."""
    with Publisher(FREE_PORT, stream="aki") as publisher:
        real_open = SharedMemoryReader.__init__

        def refuse(self: SharedMemoryReader, name: str) -> None:
            raise PermissionError(f"{name} is somebody else's")

        monkeypatch.setattr(SharedMemoryReader, "__init__", refuse)
        with Subscriber(publisher.endpoint) as subscriber:
            eventually(lambda: publisher.has_subscribers)
            play_until(publisher, lambda: subscriber.statistics.received >= 80)
            assert subscriber.variant == "raw"
            assert subscriber.statistics.bad == {}
            assert subscriber.state is LinkState.LIVE
        monkeypatch.setattr(SharedMemoryReader, "__init__", real_open)


def test_client_follows_from_one_producer_to_the_next_with_or_without_shared_memory(tcp_endpoint: str) -> None:
    with Subscriber(tcp_endpoint, stream="aki") as subscriber:
        for shared, variant in ((True, "shm"), (False, "raw"), (True, "shm")):
            with Publisher(tcp_endpoint, stream="aki", shared_memory=shared) as publisher:
                eventually(lambda publisher=publisher: publisher.has_subscribers)
                session = publisher.session
                play_until(
                    publisher,
                    lambda session=session, variant=variant: (
                        subscriber.state is LinkState.LIVE
                        and (subscriber.session, subscriber.variant) == (session, variant)
                    ),
                )
        assert subscriber.statistics.bad == {}


def test_variant_that_the_producer_lacks_is_told_from_silence() -> None:
    with (
        Publisher(FREE_PORT, stream="aki", shared_memory=False) as publisher,
        Subscriber(publisher.endpoint, variant="shm") as subscriber,
    ):
        eventually(lambda: (publisher.poll(), "'shm'" in subscriber.last_error)[1])
        assert subscriber.latest() is None


def test_unknown_variant_is_a_clear_error() -> None:
    with pytest.raises(WireError, match="'webp' is not a variant"):
        Subscriber(FREE_PORT.replace(":0", ":1"), variant="webp")


def test_late_joiner_of_another_variant_is_sent_the_last_frame_although_its_pixels_are_overwritten() -> None:
    for first, second in (("raw", "jpeg"), ("shm", "lz4"), ("lz4", "shm"), ("jpeg", "raw")):
        with Publisher(FREE_PORT, stream="aki") as publisher:
            with Subscriber(publisher.endpoint, variant=first) as early:
                play_until(publisher, lambda early=early: early.state is LinkState.LIVE)
                sent = frame(1_000)
                publisher.publish(sent)
                wanted = sent.pixels.copy()
                sent.pixels[:] = 0
            with Subscriber(publisher.endpoint, variant=second) as late:
                eventually(lambda late=late, publisher=publisher: (publisher.poll(), late.statistics.received)[1])
                came = late.latest()
                assert came is not None
                assert np.abs(came.pixels.astype(int) - wanted).max() <= (40 if "jpeg" in (first, second) else 0)


def test_only_subscribed_variants_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    message = LastFrame.message

    def note(self: LastFrame, variant: str) -> Any:
        asked.append(variant)
        return message(self, variant)

    monkeypatch.setattr(LastFrame, "message", note)
    with Publisher(FREE_PORT, stream="aki") as publisher, Subscriber(publisher.endpoint, variant="jpeg") as subscriber:
        play_until(publisher, lambda: subscriber.state is LinkState.LIVE and publisher.subscriber_count == 1)
        asked.clear()
        play_until(publisher, lambda: len(asked) >= 20, start=1_000)
        assert set(asked) == {"jpeg"}


def test_ring_is_removed_with_its_producer() -> None:
    publisher = Publisher(FREE_PORT, stream="aki")
    publisher.publish(frame(1))
    ring = publisher._last.ring_name
    SharedMemoryReader(ring).close()
    publisher.close()
    with pytest.raises(OSError, match="bunraku"):
        SharedMemoryReader(ring)


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="only Linux shows shared memory as files")
def test_system_without_shared_memory_goes_on_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(size: int) -> SharedMemory:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SharedMemory, "create", none_left)
    with Publisher(FREE_PORT, stream="aki") as publisher, Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        play_until(publisher, lambda: subscriber.statistics.received >= 5)
        assert "shm" not in publisher._last.variants
        assert subscriber.variant == "raw"


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.ns = 1

    def __call__(self) -> int:
        """Monotonic nanoseconds."""
        return self.ns


def test_exhausted_shared_memory_is_logged_once_and_used_again_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A growing ring finds no room; its client continues over the socket, and returns to the ring later."""
    real_create = SharedMemory.create
    full = False

    def create(size: int) -> SharedMemory:
        if full:
            raise OSError(28, "No space left on device")
        return real_create(size)

    monkeypatch.setattr(SharedMemory, "create", create)
    clock = Clock()
    with Publisher(FREE_PORT, stream="aki", clock=clock) as publisher, Subscriber(publisher.endpoint) as subscriber:

        def sees(side: int, variant: str) -> bool:
            clock.ns += 20_000_000
            came = subscriber.latest()
            return subscriber.variant == variant and came is not None and came.pixels.shape == (side, side, 4)

        eventually(lambda: publisher.has_subscribers)
        number = play_until(publisher, lambda: sees(32, "shm"))
        full = True
        number = play_until(publisher, lambda: sees(200, "raw"), start=number, side=200)
        assert "shm" not in publisher._last.variants
        clock.ns += 2 * RING_RETRY_NS
        number = play_until(publisher, lambda: sees(201, "raw"), start=number, side=201)
        full = False
        clock.ns += 2 * RING_RETRY_NS
        play_until(publisher, lambda: sees(202, "shm"), start=number, side=202)
        assert subscriber.statistics.bad == {}
    said = [record.getMessage() for record in caplog.records if "shared memory" in record.getMessage()]
    assert len(said) == 2, said
    assert "travel over the socket: No space left" in said[0]
    assert "room for shared memory again" in said[1]


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="only Linux shows shared memory as files")
def test_ring_cut_by_another_program_ends_neither_producer_nor_client() -> None:
    with Publisher(FREE_PORT, stream="aki") as publisher, Subscriber(publisher.endpoint) as subscriber:
        eventually(lambda: publisher.has_subscribers)
        number = play_until(publisher, lambda: subscriber.variant == "shm")
        os.truncate(f"/dev/shm{publisher._last.ring_name}", 4096)
        publisher.resend_last()
        with Subscriber(publisher.endpoint, variant="lz4") as late:
            number = play_until(publisher, lambda: late.statistics.received >= 2, start=number)
        number = play_until(publisher, lambda: subscriber.variant == "raw", start=number)
        before = subscriber.statistics.received
        play_until(publisher, lambda: subscriber.statistics.received >= before + 10, start=number)
        assert subscriber.state is LinkState.LIVE


@pytest.mark.skipif(not SMALL_MEMORY, reason="making /dev/shm small needs Linux, `unshare` and root")
def test_producer_and_client_live_in_a_container_with_too_little_shared_memory(run_program: RunProgram) -> None:
    code = (
        "import time; from tests.contract.test_variants import FREE_PORT, Publisher, Subscriber, frame\n"
        "with Publisher(FREE_PORT, stream='aki') as publisher, Subscriber(publisher.endpoint) as subscriber:\n"
        "    for number in range(1, 2000):\n"
        "        publisher.publish(frame(number, 256)); time.sleep(0.005)\n"
        "        if subscriber.statistics.received > 50: break\n"
        "    print(subscriber.variant, subscriber.state.name, subscriber.statistics.bad)"
    )
    inside = 'mount -t tmpfs -o size=512k tmpfs /dev/shm && exec "$0" -c "$1"'
    ended = run_program(["unshare", "-m", "sh", "-c", inside, sys.executable, code], cwd=REPOSITORY)
    assert ended.returncode == 0, (ended.returncode, ended.stderr)
    assert ended.stdout.split() == ["raw", "LIVE", "{}"]
    assert ended.stderr.count("shared memory") == 1
    assert "0.5 MiB are free" in ended.stderr


@pytest.mark.skipif(not SMALL_MEMORY, reason="filling /dev/shm needs Linux, `unshare` and root")
def test_a_ring_stays_whole_when_somebody_fills_the_rest_of_shared_memory(run_program: RunProgram) -> None:
    code = (
        "import errno; from engine_bridge.avf.ring import RingReader, RingWriter\n"
        "ring = RingWriter(1 << 18, session=1); pixels = memoryview(bytes([7]) * (1 << 18))\n"
        "try:\n"
        "    with open('/dev/shm/filler', 'wb', buffering=0) as filler:\n"
        "        while filler.write(bytes(4096)) == 4096: pass\n"
        "except OSError as error: assert error.errno == errno.ENOSPC\n"
        "reader = RingReader(ring.name)\n"
        "for _ in range(8): assert (reader.copy(*ring.write(pixels), 1 << 18) == 7).all()\n"
        "ring.close(); print('lives')"
    )
    inside = 'mount -t tmpfs -o size=2m tmpfs /dev/shm && exec "$0" -c "$1"'
    ended = run_program(["unshare", "-m", "sh", "-c", inside, sys.executable, code], cwd=REPOSITORY)
    assert ended.stdout == "lives\n", (ended.returncode, ended.stderr)


def test_frames_and_heartbeats_of_unknown_variants_are_ignored(tcp_endpoint: str) -> None:
    import zmq

    context: Any = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.linger = 0
    socket.bind(tcp_endpoint)
    try:
        with Subscriber(tcp_endpoint) as subscriber:
            assert socket.poll(PATIENCE_S * 1000)
            heartbeat = encode_heartbeat(Heartbeat("aki", 1, 0))
            while subscriber.statistics.received < 3:
                number = subscriber.statistics.received + 1
                parts = encode_frame(frame(number), stream="aki", session=1, publish_ns=1)
                socket.send_multipart([b"avf1.avif/aki", *parts[1:]])
                socket.send_multipart([b"avf1.avif/aki", heartbeat[1]])
                socket.send_multipart(parts)
                time.sleep(0.01)
            assert subscriber.statistics.bad == {}
    finally:
        socket.close()
        context.term()
