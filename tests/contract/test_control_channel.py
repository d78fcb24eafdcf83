"""Control server and client over real tcp sockets: the newest state wins, whichever client sent it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import psutil
import pytest
import zmq

from engine_bridge import (
    ClientStats,
    ControlClient,
    ControlServer,
    ControlSpec,
    ControlState,
    ExpressionSpec,
    IdentityMix,
    LinkState,
    StreamInfo,
    WireError,
)
from engine_bridge.avf.control_wire import decode_server_message
from engine_bridge.clock import now_ns
from engine_bridge.sockets.inbox import MESSAGES_PER_POLL

FREE_PORT = "tcp://127.0.0.1:0"
PATIENCE_S = 60.0
INFO = StreamInfo(
    session=5,
    stream="aki",
    character="Aki",
    width=256,
    height=256,
    fps=60.0,
    controls=[ControlSpec("headYaw", -30.0, 30.0, 0.0, "head"), ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth")],
    identities=["aki", "ren"],
    expressions=[ExpressionSpec("happy", "1")],
    provider="synthetic",
)


def info_of_session(session: int) -> StreamInfo:
    return StreamInfo(session, "aki", "Aki", 256, 256, 60.0, INFO.controls)


def jaw(value: float, **more: Any) -> ControlState:
    return ControlState(controls={"jawOpen": value}, **more)


def eventually(condition: Callable[[], Any], *, server: ControlServer | None = None) -> None:
    """Wait, meanwhile polling the server as the live loop does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        if server is not None:
            server.poll()
        time.sleep(0.005)


def next_state(server: ControlServer) -> ControlState:
    states: list[ControlState] = []
    eventually(lambda: states.append(state) if (state := server.poll()) else states)
    return states[-1]


@pytest.fixture
def server() -> Iterator[ControlServer]:
    with ControlServer(FREE_PORT, INFO) as server:
        yield server


@pytest.fixture
def client(server: ControlServer) -> Iterator[ControlClient]:
    with ControlClient(server.endpoint, name="test") as client:
        eventually(lambda: client.info, server=server)
        yield client


@pytest.fixture
def rogue(server: ControlServer) -> Iterator[Any]:
    """A DEALER without our safeguards."""
    context: Any = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    socket.connect(server.endpoint)
    yield socket
    socket.close()
    context.term()


def answer(rogue: Any, server: ControlServer, message: bytes) -> Any:
    rogue.send(message)
    eventually(lambda: rogue.poll(0), server=server)
    return decode_server_message(rogue.recv())


def test_client_is_told_what_the_stream_takes(client: ControlClient) -> None:
    assert client.info == INFO
    assert client.wait_for_info(0) == INFO
    assert client.state is LinkState.LIVE


def test_welcome_names_all_streams_of_the_producer(rogue: Any, server: ControlServer) -> None:
    alone = answer(rogue, server, msgpack.packb({"k": "hello", "proto": [1]}))
    assert alone.streams == ["aki"]
    context: Any = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    with ControlServer(FREE_PORT, INFO, streams=["aki", "neko"]) as crowded:
        socket.connect(crowded.endpoint)
        assert answer(socket, crowded, msgpack.packb({"k": "hello", "proto": [1]})).streams == ["aki", "neko"]
        crowded.update(info_of_session(6))
        eventually(lambda: socket.poll(0), server=crowded)
        assert decode_server_message(socket.recv()).streams == ["aki", "neko"]  # type: ignore[union-attr]
        socket.close()
    context.term()


def test_state_arrives_as_it_was_sent(server: ControlServer, client: ControlClient) -> None:
    sent = client.send(
        ControlState(
            controls={"headYaw": -3.5, "jawOpen": 1.0},
            identity="ren",
            mix=IdentityMix("aki", 0.5),
            truncation_psi=0.7,
            expression="happy",
        )
    )
    assert sent.control_id == 1
    assert 0 < sent.timestamp_ns <= now_ns()
    assert next_state(server) == sent
    assert server.poll() is None


def test_newest_state_wins_and_calibrate_is_not_lost(server: ControlServer, client: ControlClient) -> None:
    for n in range(100):
        client.send(jaw(n / 100, calibrate=n == 50))
    last = client.send(jaw(1.0))
    states: list[ControlState] = []

    def last_one_came() -> bool:
        states.extend(filter(None, [server.poll()]))
        return bool(states) and states[-1].control_id == last.control_id

    eventually(last_one_came)
    assert states[-1].controls == {"jawOpen": 1.0}
    assert any(state.calibrate for state in states)


def test_values_arrive_clamped(server: ControlServer, client: ControlClient) -> None:
    client.send(ControlState(controls={"headYaw": 1e9, "jawOpen": -1.0}))
    assert next_state(server).controls == {"headYaw": 30.0, "jawOpen": 0.0}


def test_non_finite_numbers_are_refused_by_the_client(client: ControlClient) -> None:
    with pytest.raises(WireError, match="not finite"):
        client.send(jaw(float("nan")))


def test_unknown_control_is_refused_by_name_and_the_next_state_is_taken(
    server: ControlServer, client: ControlClient
) -> None:
    client.send(ControlState(controls={"tailWag": 1.0}))
    eventually(lambda: client.last_refusal, server=server)
    assert client.last_refusal is not None
    assert client.last_refusal.code == "control"
    assert "tailWag" in client.last_refusal.text
    assert server.bad == {"control": 1}
    sent = client.send(jaw(0.5))
    assert next_state(server) == sent


def test_newest_of_several_clients_wins(server: ControlServer, client: ControlClient) -> None:
    with ControlClient(server.endpoint) as other:
        for n in range(3):
            first = client.send(jaw(n / 10))
            assert next_state(server) == first
            second = other.send(jaw(n / 10 + 0.05))
            assert next_state(server) == second
    assert server.accepted == 6


def test_older_number_of_the_same_client_is_late(server: ControlServer, client: ControlClient) -> None:
    client.send(jaw(0.5, control_id=7))
    assert next_state(server).control_id == 7
    client.send(jaw(0.1, control_id=7))
    eventually(lambda: server.late == 1, server=server)
    assert client.send(jaw(0.6)).control_id == 8
    assert next_state(server).controls == {"jawOpen": 0.6}


def test_client_may_start_first(tcp_endpoint: str) -> None:
    with ControlClient(tcp_endpoint) as client:
        client.send(jaw(0.1))
        client.send(jaw(0.2))
        assert client.state is LinkState.LOST
        with ControlServer(tcp_endpoint, INFO) as server:
            assert next_state(server).controls == {"jawOpen": 0.2}
            eventually(lambda: client.info == INFO, server=server)


def test_restarted_producer_is_told_the_last_state_again(tcp_endpoint: str) -> None:
    with ControlClient(tcp_endpoint) as client:
        with ControlServer(tcp_endpoint, info_of_session(1)) as server:
            client.send(jaw(0.5, calibrate=True))
            assert next_state(server).calibrate
            eventually(lambda: client.info, server=server)
        with ControlServer(tcp_endpoint, info_of_session(2)) as server:
            again = next_state(server)
            assert (again.controls, again.calibrate) == ({"jawOpen": 0.5}, False)
            eventually(lambda: client.info == info_of_session(2), server=server)


def test_client_of_another_version_is_refused(server: ControlServer, rogue: Any) -> None:
    refusal = answer(rogue, server, msgpack.packb({"k": "hello", "proto": [2, 3]}))
    assert refusal.code == "version"
    welcome = answer(rogue, server, msgpack.packb({"k": "hello", "proto": [3, 1]}))
    assert welcome.info == INFO


@pytest.mark.parametrize(
    "reply",
    [
        {"k": "refuse", "code": "version", "text": "this producer speaks avf/2"},
        {"k": "welcome", "proto": 2, "ses": 1, "info": {}},
    ],
)
def test_producer_of_another_version_is_incompatible_and_left_in_peace(reply: dict[str, Any]) -> None:
    context: Any = zmq.Context()
    future = context.socket(zmq.ROUTER)
    future.linger = 0
    port = future.bind_to_random_port("tcp://127.0.0.1")
    try:
        with ControlClient(f"tcp://127.0.0.1:{port}") as client:
            assert future.poll(PATIENCE_S * 1000)
            address, _ = future.recv_multipart()
            if reply["k"] == "welcome":
                # What cannot be read as ours at all says nothing about its version; a whole welcome does.
                info = {"session": 1, "stream": "a", "character": "", "width": 1, "height": 1, "fps": 1, "controls": []}
                reply = {**reply, "info": info}
            future.send_multipart([address, msgpack.packb(reply)])
            eventually(lambda: client.state is LinkState.INCOMPATIBLE)
            while future.poll(0):  # still in transit
                future.recv_multipart()
            client.send(jaw(0.5))
            assert not future.poll(1500)
    finally:
        future.close()
        context.term()


GARBAGE = [
    [b""],
    [b"\xdd\x0f\xff\xff\xff"],
    [b"\x91" * 5000],
    [b"\x80" * 70_000],
    [bytes(range(256))],
    [b"", b"\x80"],
    [b"a"] * 300,
    [msgpack.packb({"k": "set", "cid": 10**18, "ts": 1, "ex": {"jawOpen": float("nan")}})],
    [msgpack.packb({"k": "set", "cid": 10**18, "ts": 1, "ex": {"x" * 10_000: 1.0}})],
    [msgpack.packb({"k": "hello", "proto": [9]})],
]


def test_ten_thousand_bad_messages_do_no_harm(
    server: ControlServer, client: ControlClient, rogue: Any, caplog: pytest.LogCaptureFixture
) -> None:
    process = psutil.Process()
    caplog.set_level(logging.WARNING)
    resident = 0
    started = time.monotonic()
    for n in range(1, 1001):
        for message in GARBAGE:
            rogue.send_multipart(message)
        eventually(lambda n=n: sum(server.bad.values()) == 10 * n, server=server)
        while rogue.poll(0):
            rogue.recv()
        if n == 200:
            resident = process.memory_info().rss
    assert process.memory_info().rss - resident < 20_000_000
    assert set(server.bad) == {"msgpack", "header_size", "parts", "number", "control", "version"}
    assert len(caplog.records) <= time.monotonic() - started + 1
    sent = client.send(jaw(0.75))
    assert next_state(server) == sent


def test_flood_does_not_hold_up_a_frame(server: ControlServer, rogue: Any) -> None:
    for _ in range(2000):
        rogue.send(b"nonsense")
    eventually(lambda: (server.poll(), server.bad)[1])
    before = sum(server.bad.values())
    server.poll()
    assert sum(server.bad.values()) - before <= MESSAGES_PER_POLL


def test_bad_answers_are_counted_and_a_good_one_still_counts(tcp_endpoint: str) -> None:
    with ControlClient(tcp_endpoint) as client:
        context: Any = zmq.Context()
        hostile = context.socket(zmq.ROUTER)
        try:
            hostile.linger = 0
            hostile.bind(tcp_endpoint)
            assert hostile.poll(PATIENCE_S * 1000)
            address, _ = hostile.recv_multipart()
            for n in range(100):
                hostile.send_multipart([address, b"\x91" * n])
            eventually(lambda: client.state is LinkState.ERROR)
            assert client.bad["msgpack"] >= 30
        finally:
            hostile.close()
            context.term()
        with ControlServer(tcp_endpoint, INFO) as server:
            eventually(lambda: client.info == INFO, server=server)
            assert client.state is LinkState.LIVE


def test_ping_is_answered(server: ControlServer, client: ControlClient) -> None:
    eventually(lambda: client.round_trip_ms is not None, server=server)
    assert client.round_trip_ms is not None
    assert client.round_trip_ms > 0


def test_what_clients_tell_of_their_frames_is_kept(server: ControlServer, client: ControlClient) -> None:
    client.report(ClientStats(shown=9, dropped=1, age_p50_ms=4.5, age_p99_ms=9.0))
    eventually(lambda: server.client_stats, server=server)
    assert server.client_stats == [ClientStats(shown=9, dropped=1, age_p50_ms=4.5, age_p99_ms=9.0)]


def test_what_clients_want_and_how_old_their_frames_are_is_known_by_client(server: ControlServer) -> None:
    with (
        ControlClient(server.endpoint, wanted_fps=24.0) as one,
        ControlClient(server.endpoint) as two,
    ):
        eventually(lambda: sorted(server.wanted_fps) == [0.0, 24.0], server=server)
        one.report(ClientStats(shown=9, age_p50_ms=4.5))
        two.report(ClientStats(shown=0))  # it has taken no frame, so it has no age
        eventually(lambda: len(server.client_stats) == 2, server=server)
        assert list(server.ages_ms.values()) == [4.5]
    eventually(lambda: not server.wanted_fps, server=server)
    assert not server.ages_ms
    for rate in (-1.0, float("nan"), 1e9):
        with pytest.raises(WireError, match="is not a frame rate"):
            ControlClient(server.endpoint, wanted_fps=rate)


def test_last_frame_can_be_asked_for() -> None:
    asked: list[bool] = []
    with (
        ControlServer(FREE_PORT, INFO, resend_last=lambda: asked.append(True)) as server,
        ControlClient(server.endpoint) as client,
    ):
        client.request_last_frame()
        eventually(lambda: asked, server=server)


def test_changed_stream_is_told_to_all(server: ControlServer, client: ControlClient) -> None:
    server.update(info_of_session(5))
    eventually(lambda: client.info == info_of_session(5), server=server)
    assert server.info == info_of_session(5)


def test_a_limited_number_of_clients_is_remembered(server: ControlServer) -> None:
    context: Any = zmq.Context()
    sockets = [context.socket(zmq.DEALER) for _ in range(70)]
    try:
        for n, socket in enumerate(sockets):
            socket.linger = 0
            socket.connect(server.endpoint)
            socket.send(msgpack.packb({"k": "stat", "shown": n, "dropped": 0, "age_p50": 0, "age_p99": 0}))
        received: set[int] = set()
        eventually(lambda: received.update(s.shown for s in server.client_stats) or len(received) == 70, server=server)
        assert len(server.client_stats) <= 64
    finally:
        for socket in sockets:
            socket.close()
        context.term()


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:0", "tcp://*:0"])
def test_other_machines_are_kept_out(endpoint: str) -> None:
    with pytest.raises(WireError, match="other machines"):
        ControlServer(endpoint, INFO)


def test_taken_port_is_reported(server: ControlServer) -> None:
    with pytest.raises(WireError, match=r"Cannot bind .*in use.*another port"):
        ControlServer(server.endpoint, INFO)


def test_closing_needs_no_producer_and_no_second_call(tcp_endpoint: str) -> None:
    for _ in range(20):
        client = ControlClient(tcp_endpoint)
        client.send(jaw(0.5))
        client.close()
        client.close()
        client.send(jaw(0.6))
