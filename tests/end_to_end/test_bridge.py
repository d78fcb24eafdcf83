"""Producer and clients as real processes: started, stopped, killed and restarted in any order."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine_bridge import ControlClient, ControlState, LinkState, Subscriber

PEER = Path(__file__).with_name("bridge_peer.py")
PATIENCE_S = 90.0
no_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows can neither stop nor ask a process")


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class Peer:
    """A process of `bridge_peer.py`, and its output lines."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-u", str(PEER), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.hello = self.next_line()

    def next_line(self) -> dict[str, Any]:
        try:
            return self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            self.kill()
            raise AssertionError("the peer is silent") from None

    def newest_line(self) -> dict[str, Any]:
        """Output from now on."""
        self.forget_lines()
        return self.next_line()

    def forget_lines(self) -> None:
        while not self._lines.empty():
            self._lines.get()

    def end_in_order(self) -> int:
        """Terminate the process; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """Kill the process, without a chance to say bye."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(json.loads(line))


@pytest.fixture
def start() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start_peer(*words: str) -> Peer:
        peers.append(Peer(*words))
        return peers[-1]

    yield start_peer
    for peer in peers:
        peer.kill()


@pytest.fixture
def producer(start: Callable[..., Peer]) -> Peer:
    return start("publish", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0")


def next_frame_id(subscriber: Subscriber) -> int:
    frame = subscriber.wait(PATIENCE_S)
    assert frame is not None
    return frame.frame_id


def test_control_in_becomes_pixel_out_and_is_timed_by_its_echo(producer: Peer) -> None:
    with Subscriber(producer.hello["frames"]) as subscriber, ControlClient(producer.hello["control"]) as client:
        assert next_frame_id(subscriber) > 0
        assert client.wait_for_info(PATIENCE_S) is not None
        for grey in (255, 0, 51):
            sent = client.send(ControlState(controls={"jawOpen": grey / 255}))
            frame = subscriber.wait(PATIENCE_S)
            while frame is not None and frame.control_id != sent.control_id:
                frame = subscriber.wait(PATIENCE_S)
            assert frame is not None
            assert (frame.pixels == grey).all()
            assert frame.control_timestamp_ns == sent.timestamp_ns
            echo_ms = client.motion_to_photon_ms(frame)
            assert echo_ms is not None
            assert echo_ms > 0
        eventually(lambda: subscriber.stats is not None and subscriber.stats.subscribers >= 1)
        assert subscriber.control_endpoint == producer.hello["control"]


def test_killed_producer_is_missed_and_its_successor_is_found(start: Callable[..., Peer]) -> None:
    first = start("publish", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0")
    frames, control = first.hello["frames"], first.hello["control"]
    with Subscriber(frames) as subscriber, ControlClient(control) as client:
        assert next_frame_id(subscriber) > 0
        eventually(lambda: client.info is not None and client.info.session == first.hello["session"])
        client.send(ControlState(controls={"jawOpen": 1.0}))
        first.kill()
        eventually(lambda: subscriber.state in (LinkState.STALE, LinkState.LOST))
        second = start("publish", frames, control)
        eventually(lambda: subscriber.session == second.hello["session"])
        eventually(lambda: client.info is not None and client.info.session == second.hello["session"])
        eventually(lambda: subscriber.state is LinkState.LIVE and client.state is LinkState.LIVE)
        # The successor receives the state again.
        frame = subscriber.wait(PATIENCE_S)
        while frame is not None and not (frame.pixels == 255).all():
            frame = subscriber.wait(PATIENCE_S)
        assert frame is not None


@no_signals
def test_producer_that_exits_cleanly_says_bye(producer: Peer) -> None:
    with Subscriber(producer.hello["frames"]) as subscriber:
        assert next_frame_id(subscriber) > 0
        assert producer.end_in_order() == 0
        eventually(lambda: subscriber.state is LinkState.LOST)


def test_client_that_starts_before_the_producer_finds_it(start: Callable[..., Peer], tcp_endpoint: str) -> None:
    early = start("subscribe", tcp_endpoint)
    producer = start("publish", tcp_endpoint, "tcp://127.0.0.1:0")
    assert early.next_line()["session"] == producer.hello["session"]


def test_killed_client_is_noticed_and_its_successor_is_served(start: Callable[..., Peer], producer: Peer) -> None:
    eventually(lambda: not producer.newest_line()["watched"])
    for _ in range(2):
        consumer = start("subscribe", producer.hello["frames"])
        assert consumer.next_line()["session"] == producer.hello["session"]
        assert producer.newest_line()["watched"]
        consumer.kill()
        eventually(lambda: not producer.newest_line()["watched"])


@no_signals
def test_stopped_client_blocks_no_other_and_gets_the_newest_frame_when_resumed(
    start: Callable[..., Peer], producer: Peer
) -> None:
    consumer = start("subscribe", producer.hello["frames"])
    consumer.next_line()
    with Subscriber(producer.hello["frames"]) as other:
        assert next_frame_id(other) > 0
        consumer.process.send_signal(signal.SIGSTOP)
        stopped_at = producer.newest_line()["frame"]
        while next_frame_id(other) < stopped_at + 60:
            pass
        consumer.forget_lines()
        went_on_at = producer.newest_line()["frame"]
        consumer.process.send_signal(signal.SIGCONT)
    # The frames of the pause are not replayed: it catches up within a few frames.
    assert any(consumer.next_line()["frame"] >= went_on_at for _ in range(6))


def test_slow_consumer_does_not_fall_behind(start: Callable[..., Peer], producer: Peer) -> None:
    consumer = start("subscribe", producer.hello["frames"])
    for _ in range(48):
        consumer.next_line()
    # Two seconds at 24 of 60 frames would leave a queue 72 frames long.
    taken, published = consumer.newest_line()["frame"], producer.newest_line()["frame"]
    assert published - taken < 36
