"""Keys over real sockets: listed clients are admitted, no others, and both sides learn why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from engine_bridge import (
    ControlClient,
    ControlServer,
    ControlSpec,
    ControlState,
    Frame,
    LinkState,
    Publisher,
    StreamInfo,
    Subscriber,
    WireError,
)
from engine_bridge.access import keys
from engine_bridge.access.keys import ClientKeys, ServerKeys

pytestmark = pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq was built without CURVE")

FREE_PORT = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0
A_WHILE_S = 1.0  # long enough for many frames and handshakes; more would only prove more


class Producer:
    """A live loop without a character, on both channels."""

    def __init__(self, server: ServerKeys | None, frames: str = FREE_PORT, control: str = FREE_PORT) -> None:
        self._frame_id = 0
        self.states: list[ControlState] = []
        self._sockets = ExitStack()
        self.publisher = self._sockets.enter_context(Publisher(frames, stream="aki", keys=server))
        info = StreamInfo(self.publisher.session, "aki", "Aki", 8, 8, 60.0, [ControlSpec("jawOpen", 0.0, 1.0, 0.0)])
        self.control = self._sockets.enter_context(ControlServer(control, info, keys=server))

    def turn(self) -> None:
        self._frame_id += 1
        self.publisher.publish(Frame(np.zeros((8, 8, 4), np.uint8), self._frame_id, 0, "", 0, 0, 0, 0, 0, ""))
        state = self.control.poll()
        if state is not None:
            self.states.append(state)
        time.sleep(0.005)

    def turn_until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            self.turn()

    def turn_for_a_while(self) -> None:
        deadline = time.monotonic() + A_WHILE_S
        while time.monotonic() < deadline:
            self.turn()

    def close(self) -> None:
        self._sockets.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.make_server_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def producer(folder: Path) -> Iterator[Producer]:
    producer = Producer(keys.read_server_keys(folder))
    yield producer
    producer.close()


def add(folder: Path, name: str) -> ClientKeys:
    return keys.add_client(folder, name, folder.parent / f"{name}.client.toml")


def stranger(server: str) -> ClientKeys:
    public, secret = zmq.curve_keypair()
    return ClientKeys(server, public.decode(), secret.decode())


def test_listed_client_sees_frames_and_moves_the_character(producer: Producer, folder: Path) -> None:
    listed = add(folder, "game")
    with (
        Subscriber(producer.publisher.endpoint, keys=listed) as subscriber,
        ControlClient(producer.control.endpoint, keys=listed) as client,
    ):
        client.send(ControlState(controls={"jawOpen": 0.5}))
        producer.turn_until(lambda: subscriber.latest() and producer.states and client.info)
        assert subscriber.state is client.state is LinkState.LIVE
        assert producer.states[0].controls == {"jawOpen": 0.5}
        assert subscriber.last_error == client.last_error == ""


def test_client_without_keys_sees_nothing_and_is_told_how_to_get_one(producer: Producer) -> None:
    with Subscriber(producer.publisher.endpoint) as subscriber, ControlClient(producer.control.endpoint) as client:
        client.send(ControlState(controls={"jawOpen": 0.5}))
        producer.turn_until(lambda: subscriber.state is client.state is LinkState.ERROR)
        producer.turn_for_a_while()
        assert subscriber.state is client.state is LinkState.ERROR
        assert "bunraku keys add" in subscriber.last_error
        assert "bunraku keys add" in client.last_error
        assert subscriber.statistics.received == 0
        assert client.info is None
        assert not producer.states
        assert not producer.publisher.has_subscribers


def test_unlisted_key_is_refused_and_named_on_both_sides(
    producer: Producer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = stranger(keys.read_server_keys(folder).public)
    with (
        caplog.at_level(logging.WARNING),
        Subscriber(producer.publisher.endpoint, keys=unknown) as subscriber,
        ControlClient(producer.control.endpoint, keys=unknown) as client,
    ):
        producer.turn_until(lambda: subscriber.state is client.state is LinkState.ERROR)
        assert unknown.public in subscriber.last_error
        assert unknown.public in client.last_error
        assert subscriber.statistics.received == 0
    said = [record.getMessage() for record in caplog.records if record.name == "engine_bridge.sockets.encryption"]
    assert any(f"bunraku keys add NAME --public '{unknown.public}'" in line for line in said)


def test_refused_client_comes_in_once_it_is_listed(producer: Producer, folder: Path) -> None:
    late = stranger(keys.read_server_keys(folder).public)
    with Subscriber(producer.publisher.endpoint, keys=late) as subscriber:
        producer.turn_until(lambda: subscriber.state is LinkState.ERROR)
        keys.add_known_client(folder, "late", late.public)
        producer.turn_until(subscriber.latest)
        assert subscriber.state is LinkState.LIVE


def test_other_producer_is_noticed(producer: Producer, folder: Path) -> None:
    mistaken = stranger(zmq.curve_keypair()[0].decode())
    keys.add_known_client(folder, "mistaken", mistaken.public)
    with Subscriber(producer.publisher.endpoint, keys=mistaken) as subscriber:
        producer.turn_until(lambda: subscriber.state is LinkState.ERROR)
        assert mistaken.server in subscriber.last_error
        assert "bunraku keys list" in subscriber.last_error
        assert subscriber.statistics.received == 0


def test_removed_client_is_refused_at_its_next_connection(producer: Producer, folder: Path) -> None:
    removed = add(folder, "game")
    with Subscriber(producer.publisher.endpoint, keys=removed) as subscriber:
        producer.turn_until(subscriber.latest)
        keys.remove_client(folder, "game")
        before = subscriber.statistics.received
        producer.turn_until(lambda: subscriber.statistics.received > before)  # connected clients stay
    with Subscriber(producer.publisher.endpoint, keys=removed) as subscriber:
        producer.turn_until(lambda: subscriber.state is LinkState.ERROR)
        assert removed.public in subscriber.last_error


def test_client_with_keys_does_not_talk_to_a_producer_without() -> None:
    producer = Producer(None)
    try:
        with Subscriber(producer.publisher.endpoint, keys=stranger(zmq.curve_keypair()[0].decode())) as subscriber:
            producer.turn_until(lambda: subscriber.state is LinkState.ERROR)
            assert "has no keys" in subscriber.last_error
            assert subscriber.statistics.received == 0
    finally:
        producer.close()


def test_client_without_keys_is_told_when_its_producer_comes_back_with_keys_and_comes_back_without(
    folder: Path,
) -> None:
    producer = Producer(None)
    frames, control = producer.publisher.endpoint, producer.control.endpoint
    with Subscriber(frames) as subscriber:
        producer.turn_until(subscriber.latest)
        producer.close()
        producer = Producer(keys.read_server_keys(folder), frames, control)
        producer.turn_until(lambda: subscriber.state is LinkState.ERROR)
        producer.close()
        producer = Producer(None, frames, control)
        producer.turn_until(lambda: subscriber.state is LinkState.LIVE)
        producer.close()


def test_unreadable_list_lets_nobody_in(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed, server = add(folder, "game"), keys.read_server_keys(folder)
    server.clients.rename(folder / "moved away")
    producer = Producer(server)
    try:
        with caplog.at_level(logging.WARNING), Subscriber(producer.publisher.endpoint, keys=listed) as subscriber:
            producer.turn_until(lambda: subscriber.state is LinkState.ERROR)
            assert "its log says why" in subscriber.last_error
            assert "cannot be read" in caplog.text
            (folder / "moved away").rename(server.clients)
            producer.turn_until(subscriber.latest)
    finally:
        producer.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "*"])
def test_keys_open_all_addresses(producer: Producer, folder: Path, host: str) -> None:
    everywhere = Producer(keys.read_server_keys(folder), f"tcp://{host}:0", f"tcp://{host}:0")
    try:
        everywhere.publisher.control_endpoint = everywhere.control.endpoint
        port = everywhere.publisher.endpoint.rsplit(":", 1)[1]
        with Subscriber(f"tcp://127.0.0.1:{port}", keys=add(folder, "game")) as subscriber:
            everywhere.turn_until(lambda: subscriber.latest() and subscriber.control_endpoint)
            control_port = everywhere.control.endpoint.rsplit(":", 1)[1]
            assert subscriber.control_endpoint == f"tcp://127.0.0.1:{control_port}"
    finally:
        everywhere.close()


def test_all_addresses_without_keys_need_a_word_and_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WireError, match="bunraku keys init"):
        Publisher("tcp://0.0.0.0:0", stream="aki")
    with caplog.at_level(logging.WARNING):
        Publisher("tcp://127.0.0.1:0", stream="aki", insecure=True).close()
        assert not caplog.records
        Publisher("tcp://0.0.0.0:0", stream="aki", insecure=True).close()
    assert "nothing is encrypted" in caplog.text


def test_port_that_is_taken_leaves_nothing_behind(producer: Producer, folder: Path) -> None:
    with pytest.raises(WireError, match="Cannot bind"):
        Publisher(producer.publisher.endpoint, stream="aki", keys=keys.read_server_keys(folder))


def test_producer_closes_at_once_while_it_refuses(folder: Path) -> None:
    unknown = stranger(keys.read_server_keys(folder).public)
    with ExitStack() as clients:
        for _ in range(5):
            producer = Producer(keys.read_server_keys(folder))
            clients.enter_context(Subscriber(producer.publisher.endpoint, keys=unknown))
            producer.turn()
            producer.close()


def test_page_of_a_producer_with_keys_is_let_in_without_being_on_the_list(tmp_path: Path) -> None:
    from websockets.sync.client import connect

    from engine_bridge.web import WebRelay

    server = keys.make_server_keys(tmp_path / "keys")
    inside, guest = keys.make_guest_keys(server)
    producer = Producer(inside)
    try:
        with (
            WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint, keys=guest) as relay,
            connect(relay.url.replace("http:", "ws:") + "avf1?stream=aki") as page,
        ):
            page.send("more")
            producer.turn_until(lambda: producer.publisher.has_subscribers)
            parts = 0
            while parts != 3:  # a heartbeat has two
                producer.turn()
                try:
                    message = page.recv(timeout=0.01)
                except TimeoutError:
                    continue
                assert isinstance(message, bytes)
                parts = message[0]
    finally:
        producer.close()
    assert server.guests == frozenset()
