"""Limits of docs/protocol.md over real sockets: a client that exceeds one is disconnected, without effect on others."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import psutil
import pytest

from engine_bridge import ControlClient, ControlServer, ControlSpec, ControlState, LinkState, StreamInfo, Subscriber
from engine_bridge.producer.publisher import Publisher
from engine_bridge.sockets import frame_socket as frame_sockets
from engine_bridge.sockets.frame_socket import FrameSocket
from engine_bridge.sockets.subscriptions import MAX_PER_CONNECTION, NEWS_AT_ONCE
from tests.raw_zmtp import RawPeer
from tests.zmtp_peer import frame, message

FREE_PORT = "tcp://127.0.0.1:0"
PATIENCE_S = 30.0
INFO = StreamInfo(
    session=5,
    stream="aki",
    character="Aki",
    width=256,
    height=256,
    fps=60.0,
    controls=[ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth")],
)
counts_bytes = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells how many bytes have arrived on a connection"
)


@pytest.fixture
def server() -> Iterator[ControlServer]:
    with ControlServer(FREE_PORT, INFO) as server:
        yield server


@pytest.fixture
def frames() -> Iterator[FrameSocket]:
    with FrameSocket(FREE_PORT) as socket:
        yield socket


def eventually(condition: Callable[[], Any], *polled: ControlServer | FrameSocket | Publisher) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        for one in polled:
            one.poll()
        time.sleep(0.002)


def turned_away(channel: ControlServer | FrameSocket) -> int:
    """Connections refused for lack of a place, or during a flood."""
    return channel.over_limits.get("connections", 0) + channel.over_limits.get("refused", 0)


@counts_bytes
def test_message_that_never_ends_is_disconnected_while_the_loop_is_blocked(
    server: ControlServer, frames: FrameSocket
) -> None:
    parts = frame(bytes(1000), more=True) * 10_000
    for endpoint, kind in ((server.endpoint, "DEALER"), (frames.endpoint, "SUB")):
        with RawPeer.connect(endpoint, kind) as rogue, pytest.raises(OSError, match=r"reset|[Bb]roken pipe|abort"):
            rogue.send(parts * 20)
    assert server.over_limits["unfinished"] == frames.over_limits["unfinished"] == 1


@counts_bytes
def test_slow_client_with_large_whole_messages_is_not_a_flood(server: ControlServer) -> None:
    large = message(msgpack.packb({"k": "hello", "proto": [1], "name": "x" * 50_000}))
    with RawPeer.connect(server.endpoint, "DEALER") as client:
        for _ in range(40):
            client.send(large[:30_000])
            server.poll()
            time.sleep(0.01)
            client.send(large[30_000:])
            eventually(lambda: server.client_count == 1, server)
        assert not client.is_hung_up_on(0.2)
    assert not server.over_limits


def test_silent_connections_make_room_for_those_that_speak(server: ControlServer) -> None:
    host, port = server.endpoint.removeprefix("tcp://").rsplit(":", 1)
    with ControlClient(server.endpoint) as client:
        eventually(lambda: client.info is not None, server)
        silent = [socket.create_connection((host, int(port)), PATIENCE_S) for _ in range(200)]
        try:
            eventually(lambda: turned_away(server) >= 70, server)
            eventually(lambda: server.connection_count <= 129, server)
            with ControlClient(server.endpoint) as newcomer:
                eventually(lambda: newcomer.info is not None, server)
            before = server.accepted
            client.send(ControlState(controls={"jawOpen": 0.5}))
            eventually(lambda: server.accepted > before, server)
            assert client.state is LinkState.LIVE
        finally:
            for connection in silent:
                connection.close()


def test_flood_of_subscribers_keeps_the_existing_ones(frames: FrameSocket) -> None:
    with RawPeer.connect(frames.endpoint, "SUB") as honest:
        honest.send(frame(b"\x01avf1/aki"))
        eventually(lambda: frames.subscriptions, frames)
        crowd = []
        try:
            for number in range(200):
                with contextlib.suppress(OSError, EOFError):  # it may be disconnected while it shakes hands
                    crowd.append(RawPeer.connect(frames.endpoint, "SUB"))
                    crowd[-1].send(frame(b"\x01avf1/%d" % number))
                frames.poll()
            eventually(lambda: turned_away(frames) >= 70, frames)
            assert not honest.is_hung_up_on(0.5)
            assert frames.subscriptions[b"avf1/aki"] == 1
        finally:
            for peer in crowd:
                peer.close()


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"".join(frame(b"\x01avf1/%d" % number) for number in range(MAX_PER_CONNECTION + 1)),
        frame(b"\x01avf1/" + b"x" * 100),
        (frame(b"\x01avf1/aki") + frame(b"\x00avf1/aki")) * NEWS_AT_ONCE,
    ],
    ids=["too many", "too long", "too often"],
)
def test_too_many_subscriptions_end_the_connection(frames: FrameSocket, bytes_sent: bytes) -> None:
    with RawPeer.connect(frames.endpoint, "SUB") as rogue:
        rogue.send(bytes_sent)
        eventually(lambda: frames.over_limits.get("subscriptions"), frames)
        assert rogue.is_hung_up_on(PATIENCE_S)
    eventually(lambda: not frames.subscriptions, frames)


def test_client_that_subscribes_twice_leaves_nothing_behind(frames: FrameSocket) -> None:
    with RawPeer.connect(frames.endpoint, "SUB") as twice:
        twice.send(frame(b"\x01avf1/aki") * 2)
        eventually(lambda: frames.subscriptions.get(b"avf1/aki") == 1, frames)
    eventually(lambda: not frames.subscriptions, frames)


def test_no_client_can_unsubscribe_another(frames: FrameSocket) -> None:
    with (
        RawPeer.connect(frames.endpoint, "SUB") as honest,
        RawPeer.connect(frames.endpoint, "SUB") as rogue,
    ):
        honest.send(frame(b"\x01avf1/aki"))
        eventually(lambda: frames.subscriptions.get(b"avf1/aki") == 1, frames)
        rogue.send(frame(b"\x00avf1/aki") * 5 + frame(b"\x01avf1/b"))
        eventually(lambda: frames.subscriptions.get(b"avf1/b") == 1, frames)
        assert frames.subscriptions[b"avf1/aki"] == 1


def test_subscribers_that_never_read_hold_back_few_pictures(
    frames: FrameSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells what waits on a connection")
    picture = np.zeros((512, 512, 4), np.uint8)
    stalled = []
    try:
        for _ in range(20):
            stalled.append(RawPeer.connect(frames.endpoint, "SUB"))
            stalled[-1].send(frame(b"\x01avf1/aki"))

        def send() -> bool:
            frames.send([b"avf1/aki", b"x", picture.tobytes()])
            return frames.over_limits.get("stalled", 0) >= 20 - frame_sockets.LIMITS.stalled

        eventually(send, frames)
        eventually(lambda: frames.connection_count < 20, frames)
    finally:
        for peer in stalled:
            peer.close()


def test_message_of_very_many_parts_is_disconnected_and_others_continue(server: ControlServer) -> None:
    with ControlClient(server.endpoint) as client:
        eventually(lambda: client.info is not None, server)
        with RawPeer.connect(server.endpoint, "DEALER") as rogue:
            rogue.send(frame(b"", more=True) * 5000 + frame(b""))
            eventually(lambda: server.over_limits.get("parts"), server)
            assert rogue.is_hung_up_on(PATIENCE_S)
        before = server.accepted
        client.send(ControlState(controls={"jawOpen": 0.5}))
        eventually(lambda: server.accepted > before, server)


def test_flood_of_one_client_does_not_delay_another(server: ControlServer) -> None:
    ping = msgpack.packb({"k": "ping", "t": 1, "x": [{}] * 1000})
    stop = threading.Event()

    def flood() -> None:
        with RawPeer.connect(server.endpoint, "DEALER") as rogue:
            while not stop.is_set():
                try:
                    rogue.send(message(ping) * 20)
                except OSError:
                    return

    thread = threading.Thread(target=flood)
    with ControlClient(server.endpoint) as client:
        eventually(lambda: client.info is not None, server)
        thread.start()
        try:
            for number in range(1, 21):
                sent = client.send(ControlState(controls={"jawOpen": number / 20}))
                taken: list[ControlState] = []
                eventually(lambda taken=taken: (taken.extend(filter(None, [server.poll()])), taken)[1])
                assert taken[-1].control_id >= sent.control_id  # higher if it was sent again on a new connection
                assert taken[-1].controls == {"jawOpen": number / 20}
        finally:
            stop.set()
            while thread.is_alive():
                server.poll()


@counts_bytes
@pytest.mark.parametrize("part_bytes", [0, 1000, 1_000_000])
@pytest.mark.parametrize("kind", ["XPUB", "ROUTER"])
def test_client_leaves_a_producer_whose_message_never_ends_and_keeps_nothing(kind: str, part_bytes: int) -> None:
    parts = frame(bytes(part_bytes), more=True) * max(1, 2**18 // (part_bytes + 2))
    stop = threading.Event()

    def flood(listener: socket.socket) -> None:
        listener.settimeout(0.1)
        while not stop.is_set():
            with contextlib.suppress(OSError, EOFError), listener.accept()[0] as connection:
                rogue = RawPeer(connection, kind)
                connection.settimeout(0.1)
                while not stop.is_set():
                    rogue.send(parts)

    process = psutil.Process(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = process.memory_info().rss
        thread = threading.Thread(target=flood, args=(listener,))
        thread.start()
        try:
            endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            with Subscriber(endpoint) if kind == "XPUB" else ControlClient(endpoint) as client:
                eventually(lambda: "does not end" in client.last_error)
                assert client.state is LinkState.ERROR
        finally:
            stop.set()
            thread.join()
    assert process.memory_info().rss - before < 100 * 2**20
