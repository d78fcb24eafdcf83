"""Open connections that carry nothing, and peers that read nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine_bridge import (
    ControlClient,
    ControlServer,
    ControlSpec,
    ControlState,
    Frame,
    Publisher,
    StreamInfo,
    Subscriber,
)
from tests import zmtp_peer
from tests.link_peers import LinkPeer, is_live, native_peer, only_long, python_peer
from tests.zmtp_peer import Rogue, message

PATIENCE_S = 60.0
SESSION = 3


class Forwarder:
    """A forwarded port. `lose` makes it forget existing connections without closing them, like a network does."""

    def __init__(self, endpoint: str) -> None:
        self._port = int(endpoint.rpartition(":")[2])
        self._epoch = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._rogue = Rogue(self._serve, at_once=1)
        self.endpoint = f"tcp://127.0.0.1:{self._rogue.port}"

    @property
    def connections(self) -> int:
        return self._rogue.served

    def lose(self) -> None:
        self._epoch += 1

    def close(self) -> None:
        self._stop.set()
        self._rogue.close()
        for thread in self._threads:
            thread.join()

    def _serve(self, near: socket.socket) -> None:
        far = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
        for source, target in ((near, far), (far, near)):
            source.settimeout(0.1)
            self._threads.append(threading.Thread(target=self._pass_on, args=(source, target, self._epoch)))
            self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket, epoch: int) -> None:
        """Data on a lost connection is read and discarded: the kernel still acknowledges it."""
        with source, contextlib.suppress(OSError):
            while not self._stop.is_set():
                try:
                    data = source.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    break
                if epoch == self._epoch:
                    target.sendall(data)
        if epoch == self._epoch:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)


class Producer:
    """A live loop in a thread, and the received states."""

    def __init__(self) -> None:
        info = StreamInfo(SESSION, "aki", "Aki", 64, 64, 60.0, [ControlSpec("headYaw", -90.0, 90.0, 0.0)])
        self.states: list[ControlState] = []
        self.server = ControlServer("tcp://127.0.0.1:0", info)
        self.publisher = Publisher("tcp://127.0.0.1:0", stream="aki", session=SESSION, shared_memory=False)
        self.watchers = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _play(self) -> None:
        pixels = np.zeros((64, 64, 4), np.uint8)
        number = 0
        with self.publisher, self.server:
            while not self._stop.wait(1 / 60):
                state = self.server.poll()
                if state is not None:
                    self.states.append(state)
                number += 1
                self.publisher.publish(Frame(pixels, number, SESSION, "aki", 0, 0, 0, 0, 0, "synthetic"))
                self.watchers = self.publisher.subscriber_count


@pytest.fixture
def producer() -> Iterator[Producer]:
    producer = Producer()
    yield producer
    producer.close()


@pytest.fixture
def forwarders(producer: Producer) -> Iterator[tuple[Forwarder, Forwarder]]:
    both = Forwarder(producer.publisher.endpoint), Forwarder(producer.server.endpoint)
    yield both
    for forwarder in both:
        forwarder.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_a_client_leaves_a_lost_connection_and_resends_its_state(
    producer: Producer, forwarders: tuple[Forwarder, Forwarder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine_bridge.client.liveness.FIRST_PATIENCE_NS", 1_000_000_000)  # ten seconds in earnest
    frames, control = forwarders
    with Subscriber(frames.endpoint) as subscriber, ControlClient(control.endpoint) as client:
        assert client.wait_for_info(PATIENCE_S)
        assert subscriber.wait(PATIENCE_S)
        client.send(ControlState(controls={"headYaw": 1.0}))
        eventually(lambda: bool(producer.states))
        frames.lose()
        control.lose()
        client.send(ControlState(controls={"headYaw": 2.0}))  # lost in transit
        seen = producer.publisher.sent
        eventually(lambda: (frame := subscriber.latest()) is not None and frame.frame_id > seen)
        eventually(lambda: producer.states[-1].controls == {"headYaw": 2.0})
        assert frames.connections == control.connections == 2


@only_long
@pytest.mark.parametrize("language", ["python", "native"])
def test_a_program_leaves_a_lost_connection(
    language: str, forwarders: tuple[Forwarder, Forwarder], tmp_path: Path
) -> None:
    endpoints = [forwarder.endpoint for forwarder in forwarders]
    peer: LinkPeer = native_peer(tmp_path, *endpoints) if language == "native" else python_peer(*endpoints)
    try:
        peer.until(lambda told: is_live(told) and told["frame"] > 0)
        for forwarder in forwarders:
            forwarder.lose()
        peer.until(lambda told: told["frames"] == told["control"] == "lost")
        peer.until(is_live)
        assert [forwarder.connections for forwarder in forwarders] == [2, 2]
    finally:
        peer.close()


@only_long
def test_a_subscriber_that_takes_nothing_does_not_count_as_a_watcher(producer: Producer) -> None:
    connection = zmtp_peer.connect(int(producer.publisher.endpoint.rpartition(":")[2]))
    zmtp_peer.greet(connection, "SUB")
    connection.sendall(message(b"\x01avf1/"))
    eventually(lambda: producer.watchers == 1)
    eventually(lambda: producer.watchers == 0)
    connection.close()


@pytest.mark.parametrize("language", ["python", "native"])
def test_clients_send_no_zmtp_heartbeats(language: str, tmp_path: Path) -> None:
    said: dict[str, bytes] = {"XPUB": b"", "ROUTER": b""}
    heard = {kind: threading.Event() for kind in said}

    def listen(kind: str) -> Callable[[socket.socket], None]:
        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                zmtp_peer.greet(connection, kind)
                connection.settimeout(0.1)
                until = time.monotonic() + 1.2
                while time.monotonic() < until and not heard[kind].is_set():
                    with contextlib.suppress(TimeoutError):
                        said[kind] += connection.recv(65536)
                heard[kind].set()

        return serve

    rogues = [Rogue(listen(kind), at_once=1) for kind in said]
    endpoints = [f"tcp://127.0.0.1:{rogue.port}" for rogue in rogues]
    peer: LinkPeer | None = None
    try:
        peer = native_peer(tmp_path, *endpoints) if language == "native" else python_peer(*endpoints)
        assert all(event.wait(PATIENCE_S) for event in heard.values())
    finally:
        for rogue in rogues:
            rogue.close()
        if peer is not None:
            peer.close()
    assert b"avf1/" in said["XPUB"]
    assert b"hello" in said["ROUTER"]
    assert not any(b"PING" in all_said for all_said in said.values())
