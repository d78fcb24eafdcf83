"""No peer of the wire, client or producer, ends a process.

The peers speak ZMTP by hand: handshakes cut short, half-closed and reset connections, floods with PINGs in them.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
import zmq

from engine_bridge import ControlClient, ControlState, LinkState, Subscriber
from engine_bridge.access.keys import add_client, make_server_keys
from engine_bridge.avf.messages import StreamInfo
from engine_bridge.frame import Frame
from engine_bridge.producer.control_server import ControlServer
from engine_bridge.producer.publisher import Publisher
from engine_bridge.sockets.frame_socket import FrameSocket
from tests import zmtp_peer
from tests.bunraku_program import ANYWHERE, CARD, playing
from tests.closing_server import OLD_GREETINGS
from tests.link_peers import LONG, LinkPeer, is_live, native_peer, only_long, python_peer
from tests.zmtp_peer import Rogue, message, misbehave, ping

FUZZ_S = 180.0 if LONG else 2.0
PATIENCE_S = 60.0
MOST_BYTES = 300_000_000  # of memory; without visitors a process uses less than half of it
SUBSCRIPTIONS = [message(b"\x01avf1/"), message(b"\x00avf1/"), message(b"\x01avf"), message(b"\x01" + b"x" * 60)]
CONTROLS = [message(msgpack.packb(told)) for told in ({"k": "ping", "t": 1}, {"k": "hello", "proto": [1]}, {"k": "x"})]
ANSWERS = [message(msgpack.packb(told)) for told in ({"k": "pong", "t": 1, "r": 1, "ses": 1}, {"k": "welcome"}, 7)]
FRAMES = [
    message(b"avf1/aki", b"\x80"),
    message(b"avf1/aki", b"\x81\xa1k\xa1f", b"x" * 9000),
    message(b"avf2/aki", b""),
]

pytestmark = pytest.mark.timeout(600)


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def pester(port: int, kind: str, messages: list[bytes], seed: int, stop: threading.Event) -> None:
    rng = random.Random(seed)
    while not stop.is_set():
        with contextlib.suppress(OSError):
            misbehave(zmtp_peer.connect(port), kind, messages, rng)


def test_no_client_brings_a_producer_down(tmp_path: Path) -> None:
    with playing(*CARD, *ANYWHERE, "--stream", "pestered", cwd=tmp_path) as (producer, frames, control):
        stop = threading.Event()
        threads = [
            threading.Thread(target=pester, args=(port_of(endpoint), kind, messages, seed, stop))
            for seed in range(2)
            for endpoint, kind, messages in ((frames, "SUB", SUBSCRIPTIONS), (control, "DEALER", CONTROLS))
        ]
        with Subscriber(frames) as subscriber, ControlClient(control) as client:
            eventually(lambda: subscriber.state is LinkState.LIVE and client.state is LinkState.LIVE)
            for thread in threads:
                thread.start()
            until = time.monotonic() + FUZZ_S
            while time.monotonic() < until and producer.poll() is None:
                assert psutil.Process(producer.pid).memory_info().rss < MOST_BYTES
                time.sleep(0.05)
            stop.set()
            for thread in threads:
                thread.join()
            assert producer.poll() is None
            sent = client.send(ControlState(controls={"headYaw": 5.0}))
            eventually(lambda: (frame := subscriber.latest()) is not None and frame.control_id >= sent.control_id)


def test_questions_behind_a_full_queue_and_a_reset_do_not_end_a_producer(tmp_path: Path) -> None:
    """The only known way for a peer to make libzmq 4.3.5 abort a process that sends no heartbeats itself."""
    with playing(*CARD, *ANYWHERE, "--stream", "asked", cwd=tmp_path) as (producer, frames, control):
        for endpoint, kind, messages in ((frames, "SUB", SUBSCRIPTIONS), (control, "DEALER", CONTROLS)):
            asked = 0
            for _ in range(10):
                connection = zmtp_peer.connect(port_of(endpoint))
                with contextlib.suppress(OSError):  # it may disconnect a flood, and any client connecting at that time
                    zmtp_peer.greet(connection, kind)
                    connection.sendall((messages[0] * 30 + ping(ttl_ds=1)) * 20)
                    asked += 1
                    time.sleep(0.03)
                zmtp_peer.reset(connection)
            assert asked
        time.sleep(0.3)
        assert producer.poll() is None
        with Subscriber(frames) as subscriber, ControlClient(control) as client:
            eventually(lambda: subscriber.state is LinkState.LIVE and client.state is LinkState.LIVE)


@only_long
@pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq was built without CURVE")
@pytest.mark.parametrize("with_keys", [False, True], ids=["open", "keys"])
def test_clients_that_still_send_heartbeats_do_no_harm(with_keys: bool, tmp_path: Path) -> None:
    """Older clients, whose connections are reset all the time."""
    make_server_keys(tmp_path / "keys")
    add_client(tmp_path / "keys", "old", tmp_path / "old.client.toml")
    keys = ["--keys", str(tmp_path / "keys")] if with_keys else []
    with playing(*CARD, *ANYWHERE, *keys, "--stream", "old", cwd=tmp_path) as (producer, frames, control):
        forwarders = [Rogue(forward_and_reset(port_of(endpoint)), at_once=8) for endpoint in (frames, control)]
        program = [sys.executable, Path(__file__).with_name("old_client.py")]
        program += [f"tcp://127.0.0.1:{forwarder.port}" for forwarder in forwarders]
        program += [tmp_path / "old.client.toml"] if with_keys else []
        clients: list[subprocess.Popen[bytes]] = []
        begun = time.monotonic()
        while time.monotonic() - begun < FUZZ_S:
            clients = [client for client in clients if client.poll() is None]  # they abort now and then themselves
            while len(clients) < 3:
                clients.append(subprocess.Popen(program, stderr=subprocess.DEVNULL))
            assert producer.poll() is None
            time.sleep(0.1)
        for client in clients:
            client.kill()
            client.wait()
        for forwarder in forwarders:
            forwarder.close()
        assert producer.poll() is None
        assert sum(forwarder.served for forwarder in forwarders) > 20


def forward_and_reset(port: int) -> Callable[[socket.socket], None]:
    rng = random.Random(2)

    def serve(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), zmtp_peer.connect(port) as far:
            until = time.monotonic() + rng.uniform(0.05, 1.0)
            while time.monotonic() < until:
                for source in select.select([near, far], [], [], 0.02)[0]:
                    (far if source is near else near).sendall(source.recv(65536))
            zmtp_peer.reset(far)
            zmtp_peer.reset(near)

    return serve


def serve_badly(kind: str, messages: list[bytes]) -> Callable[[socket.socket], None]:
    rng = random.Random(9)
    return lambda connection: misbehave(connection, kind, messages, rng)


@pytest.mark.parametrize("language", ["python", "native"])
def test_no_producer_brings_a_client_down(language: str, tmp_path: Path) -> None:
    if language == "native" and sys.platform != "linux":
        pytest.skip("the native client is built here on Linux only")
    rogue_frames = Rogue(serve_badly("XPUB", FRAMES))
    rogue_control = Rogue(serve_badly("ROUTER", ANSWERS))
    endpoints = [f"tcp://127.0.0.1:{rogue.port}" for rogue in (rogue_frames, rogue_control)]
    victim: LinkPeer | None = None
    try:
        victim = native_peer(tmp_path, *endpoints) if language == "native" else python_peer(*endpoints)
        begun = time.monotonic()
        while time.monotonic() - begun < FUZZ_S or not (rogue_frames.served > 5 and rogue_control.served > 5):
            assert victim.process.poll() is None
            assert psutil.Process(victim.process.pid).memory_info().rss < MOST_BYTES
            assert time.monotonic() - begun < FUZZ_S + PATIENCE_S, "it does not come back"
            time.sleep(0.05)
        rogue_frames.close()
        rogue_control.close()
        serve_well(victim, *endpoints)
    finally:
        rogue_frames.close()
        rogue_control.close()
        if victim is not None:
            victim.close()


def serve_well(victim: LinkPeer, frames: str, control: str) -> None:
    """A producer replaces the rogue, and the client finds it."""
    info = StreamInfo(session=3, stream="aki", character="Aki", width=2, height=2, fps=60.0, controls=[])
    pixels = np.zeros((2, 2, 4), np.uint8)
    deadline = time.monotonic() + PATIENCE_S
    with Publisher(frames, stream="aki", session=3) as publisher, ControlServer(control, info) as server:
        frame_id = 0
        while not (victim.told and is_live(victim.told) and victim.told["frame"] > 0):
            assert victim.process.poll() is None
            assert time.monotonic() < deadline, victim.told
            server.poll()
            frame_id += 1
            publisher.publish(Frame(pixels, frame_id, 3, "aki", 0, 0, 0, 0, 0, "synthetic"))
            time.sleep(1 / 60)


@pytest.mark.parametrize("greeting", OLD_GREETINGS.values(), ids=OLD_GREETINGS)
def test_peers_of_older_protocols_are_turned_away(greeting: bytes) -> None:
    with FrameSocket("tcp://127.0.0.1:0") as frames:
        connection = zmtp_peer.connect(port_of(frames.endpoint))
        connection.settimeout(PATIENCE_S)
        connection.sendall(greeting)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
        connection.close()
        frames.poll()
        assert not frames.subscriptions
        with Subscriber(frames.endpoint):
            eventually(lambda: frames.poll() or bool(frames.subscriptions))


def test_closing_a_channel_while_such_peers_shake_hands_ends_no_process() -> None:
    """libzmq 4.3.5 aborts then (zmtp_engine.cpp:422) unless it rejects them first."""
    command = [sys.executable, "-m", "tests.closing_server", "120" if LONG else "4"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20
