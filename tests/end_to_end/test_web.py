"""The relay from a browser's view: frames, controls, and access control. Real sockets on free ports."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from urllib.parse import urljoin

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine_bridge import ControlState, WireError
from engine_bridge.avf.control_wire import Hello, Pong, Refuse, Welcome, decode_server_message, encode_client_message
from engine_bridge.avf.control_wire import Ping as ControlPing
from engine_bridge.avf.wire import Bye, Heartbeat
from engine_bridge.web import WebRelay
from engine_bridge.web.relay import MAX_MESSAGE_BYTES, MAX_PAGES
from tests.conftest import RunProgram
from tests.end_to_end.web_peers import PATIENCE_S, Browser, Producer, card, eventually


@pytest.fixture
def producer() -> Iterator[Producer]:
    with Producer(card()) as made:
        yield made


@pytest.fixture
def relay(producer: Producer) -> Iterator[WebRelay]:
    with WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint) as made:
        yield made


def get(address: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """The response to a plain GET, its path sent verbatim."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def refusal(address: str, query: str = "stream=aki", **options: object) -> tuple[int, str]:
    """Status and text with which a WebSocket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        Browser(address, query, **options)
    return refused.value.response.status_code, (refused.value.response.body or b"").decode()


def closing_code(browser: Browser) -> int:
    """Read until the relay closes the connection; return the reason."""
    try:
        while True:
            browser.parts()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


# -- frames


def test_a_frame_arrives_as_it_was_published(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address) as browser:
        browser.ask()
        frame = browser.frame()
    assert np.array_equal(frame.pixels, producer.pixels)
    assert (frame.stream, frame.session) == ("aki", producer.publisher.session)


def test_without_being_asked_only_heartbeats_come(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address) as browser:
        eventually(lambda: producer.watched)
        messages = [browser.message() for _ in range(3)]
    assert all(isinstance(message, Heartbeat) for message in messages)


def test_every_question_is_answered_with_one_newer_frame(relay: WebRelay) -> None:
    numbers = []
    with Browser(relay.address) as browser:
        for _ in range(5):
            browser.ask()
            browser.ask()  # asking twice is asking once
            numbers.append(browser.frame().frame_id)
            time.sleep(0.1)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > 5, "frames between two questions are left out"


def test_all_streams_and_the_first_one_heard(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address, "") as browser:
        browser.ask()
        assert browser.frame().stream == "aki"


def test_a_stream_whose_name_only_begins_the_same_is_not_sent(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address, "stream=ak") as short, Browser(relay.address) as whole:
        short.ask()
        whole.ask()
        whole.frame()
        with pytest.raises(TimeoutError):
            short.socket.recv(timeout=1.0)


def test_nobody_watching_means_no_subscription(producer: Producer, relay: WebRelay) -> None:
    assert not producer.watched
    with Browser(relay.address) as browser:
        browser.ask()
        browser.frame()
        assert producer.watched
    eventually(lambda: not producer.watched)


def test_a_page_that_stops_asking_does_not_count_as_watching(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address) as browser:
        browser.ask()
        browser.frame()
        eventually(lambda: not producer.watched)
        browser.ask()
        eventually(lambda: producer.watched)
        browser.frame()


def test_a_page_that_reads_nothing_blocks_no_other() -> None:
    with (
        Producer(np.full((1024, 1024, 4), 90, np.uint8)) as producer,
        WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint) as relay,
        Browser(relay.address, max_queue=1) as stopped,
        Browser(relay.address) as lively,
    ):
        numbers = []
        for _ in range(40):
            stopped.ask()
            lively.ask()
            numbers.append(lively.frame().frame_id)
        assert numbers == sorted(set(numbers))
        # When the stopped page reads again it finds the few frames in the system's buffers, then the newest.
        found = [stopped.frame().frame_id]
        while found[-1] <= numbers[-1]:
            stopped.ask()
            found.append(stopped.frame().frame_id)
        assert len(found) < 20


def test_a_bye_reaches_the_page_and_a_restarted_producer_too(producer: Producer, relay: WebRelay) -> None:
    frames, control = producer.publisher.endpoint, producer.control.endpoint
    with Browser(relay.address) as browser:
        browser.ask()
        first = browser.frame()
        producer.close()
        while not isinstance(browser.message(), Bye):
            pass
        with Producer(card(), frames=frames, control=control) as again:
            browser.ask()
            assert browser.frame().session == again.publisher.session != first.session
            eventually(lambda: is_welcome(browser))  # like the page: a message sent too early is lost


def is_welcome(browser: Browser) -> bool:
    """Say hello, and expect the answer before the next frame."""
    browser.say(encode_client_message(Hello(proto=[1])))
    browser.ask()
    parts = browser.parts()
    while len(parts) == 2:  # heartbeats
        parts = browser.parts()
    return len(parts) == 1 and isinstance(decode_server_message(parts[0]), Welcome)


def test_a_producer_may_start_after_the_relay(tcp_endpoint: str) -> None:
    with WebRelay("127.0.0.1:0", frames_endpoint=tcp_endpoint) as relay, Browser(relay.address) as browser:
        browser.ask()
        with Producer(card(), frames=tcp_endpoint):
            assert browser.frame().stream == "aki"


# -- controls


def test_controls_go_both_ways(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address) as browser:
        assert isinstance(browser.message(), Heartbeat)
        welcome = None
        while not isinstance(welcome, Welcome):
            browser.say(encode_client_message(Hello(proto=[1], name="test")))
            time.sleep(0.1)
            browser.say(encode_client_message(ControlPing(t=7)))
            welcome = browser.answer()
            if isinstance(welcome, Pong):
                assert welcome.t == 7
        assert welcome.info.character == "Aki"
        browser.say(encode_client_message(ControlState(control_id=1, timestamp_ns=5, controls={"jawOpen": 0.5})))
        eventually(lambda: producer.states)
        assert producer.states[-1].controls == {"jawOpen": 0.5}
        browser.say(encode_client_message(ControlState(control_id=2, controls={"tail": 0.5})))
        while not isinstance(answer := browser.answer(), Refuse):
            pass
        assert answer.code == "control"


def test_each_page_is_a_client_of_its_own(producer: Producer, relay: WebRelay) -> None:
    with Browser(relay.address) as one, Browser(relay.address) as other:
        one.message(), other.message()
        for browser, number in ((one, 100), (other, 1)):
            state = ControlState(control_id=number, timestamp_ns=number, controls={"jawOpen": number / 100})
            eventually(
                lambda browser=browser, state=state: (  # type: ignore[misc]
                    browser.say(encode_client_message(state)),
                    time.sleep(0.05),
                    any(taken.timestamp_ns == state.timestamp_ns for taken in producer.states),
                )[-1]
            )


@pytest.mark.parametrize(
    "message",
    ["less", b"", b"\x02\x00\x00\x00\x00\x00\x00\x00\x00", b"\x01\xff\xff\xff\x7fshort", b"\x01\x01\x00\x00\x00ab"],
)
def test_invalid_message_closes_the_connection(relay: WebRelay, message: str | bytes) -> None:
    with Browser(relay.address) as browser:
        browser.socket.send(message)
        assert closing_code(browser) == 1008


def test_a_message_that_is_too_long_closes_the_connection(relay: WebRelay) -> None:
    with Browser(relay.address) as browser:
        browser.socket.send(bytes(MAX_MESSAGE_BYTES + 1))
        assert closing_code(browser) == 1009


# -- files


def test_the_page_has_types_and_a_policy(relay: WebRelay) -> None:
    types = {
        "/": "text/html; charset=utf-8",
        "/index.html": "text/html; charset=utf-8",
        "/bunraku.js": "text/javascript; charset=utf-8",
        "/bunraku/client.js": "text/javascript; charset=utf-8",
        "/view.js": "text/javascript; charset=utf-8",
        "/panel.js": "text/javascript; charset=utf-8",
        "/style.css": "text/css; charset=utf-8",
        "/icon.svg": "image/svg+xml",
    }
    for path, content_type in types.items():
        answer = get(relay.address, path)
        assert answer.status == 200
        assert len(answer.read()) == int(answer.headers["Content-Length"]) > 100
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy


def modules(address: str, *, origin: str | None = None) -> dict[str, http.client.HTTPResponse]:
    """Responses to a browser that loads the page's script and everything it imports; paths to responses."""
    answers: dict[str, http.client.HTTPResponse] = {}
    waiting = ["/panel.js"]
    while waiting:
        path = waiting.pop()
        if path not in answers:
            answers[path] = get(address, path, **({} if origin is None else {"Origin": origin}))
            imported = re.findall(r'^.* from "(\..+?)";$', answers[path].read().decode(), re.MULTILINE)
            waiting += [urljoin(path, name) for name in imported]
    return answers


def test_whatever_a_script_imports_is_served(relay: WebRelay) -> None:
    answers = modules(relay.address)
    folder = files("engine_bridge.web") / "page" / "bunraku"
    assert {f"/bunraku/{module.name}" for module in folder.iterdir()} < set(answers)
    for path, answer in answers.items():
        assert (path, answer.status) == (path, 200)
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/relay.py",
        "/../relay.py",
        "/%2e%2e/relay.py",
        "/..%2frelay.py",
        "//etc/passwd",
        "/page/",
        "/page",
        "/bunraku",
        "/bunraku/",
        "/bunraku/../relay.py",
        "/bunraku/../bunraku.js",
        "/bunraku%2fclient.js",
        "/client.js",
        "/package.json",
        "/index.html/",
        "/INDEX.HTML",
        "/view.js%00.html",
        "/\\..\\relay.py",
        "http://127.0.0.1/relay.py",
    ],
)
def test_nothing_else_is_served(relay: WebRelay, path: str) -> None:
    assert get(relay.address, path).status == 404
    assert relay.refused["path"] == 1


def test_only_get_is_answered(relay: WebRelay) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        connection = http.client.HTTPConnection(relay.address, timeout=PATIENCE_S)
        connection.request(method, "/")
        with contextlib.suppress(http.client.HTTPException, ConnectionError):  # disconnecting is an answer, too
            assert connection.getresponse().status >= 400
    assert get(relay.address, "/").status == 200


# -- access control


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5762", "127.0.0.1.evil.example", "0.0.0.0", "", "8.8.8.8", "a b"]
)
def test_a_host_that_is_not_ours_gets_nothing(relay: WebRelay, host: str) -> None:
    assert get(relay.address, "/", Host=host).status == 403
    assert get(relay.address, "/avf1?stream=aki", Host=host).status == 403
    assert relay.refused["host"] == 2


@pytest.mark.parametrize("host", ["localhost", "localhost:8123", "127.0.0.1", "127.0.0.1:1", "[::1]", "LOCALHOST"])
def test_a_name_of_this_machine_is_ours_at_any_port(relay: WebRelay, host: str) -> None:
    assert get(relay.address, "/", Host=host).status == 200


def test_a_page_of_another_origin_may_not_watch(relay: WebRelay) -> None:
    for origin in (
        "http://evil.example",
        "null",
        f"http://{relay.address}.evil.example",
        "http://127.0.0.1:1",
        "file://",
    ):
        status, text = refusal(relay.address, origin=origin)
        assert status == 403
        assert "--web-origin" in text
    assert relay.refused["origin"] == 5


def test_the_own_origin_and_none_at_all_may_watch(relay: WebRelay) -> None:
    for origin in (f"http://{relay.address}", None):
        with Browser(relay.address, origin=origin) as browser:
            browser.ask()
            browser.frame()


def test_a_named_origin_may_watch_and_load_the_scripts(producer: Producer) -> None:
    with WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint, origins=["http://studio:8000/"]) as relay:
        with Browser(relay.address, origin="http://studio:8000") as browser:
            browser.ask()
            browser.frame()
        scripts = modules(relay.address, origin="http://studio:8000")
        assert "/bunraku/client.js" in scripts
        for path, named in scripts.items():
            assert (named.status, named.headers["Access-Control-Allow-Origin"]) == (200, "http://studio:8000")
            assert "frame-ancestors 'self' http://studio:8000" in named.headers["Content-Security-Policy"]
            other = get(relay.address, path, Origin="http://studio:8001")
            assert (other.status, other.headers["Access-Control-Allow-Origin"]) == (403, None)
        assert get(relay.address, "/", Host="studio:8000").status == 200
        assert get(relay.address, "/", Host="studio:8001").status == 403


def test_a_token_is_asked_for_where_there_is_one(producer: Producer) -> None:
    token = "correct-horse-battery"
    with WebRelay("127.0.0.1:0", frames_endpoint=producer.publisher.endpoint, token=token) as relay:
        assert relay.url.endswith(f"/?token={token}")
        for query in ("stream=aki", "token=", "token=correct-horse-batterx", f"token={token}&token=x"):
            assert refusal(relay.address, query)[0] == 401
        assert get(relay.address, "/avf1?stream=aki").status == 401
        with Browser(relay.address, f"stream=aki&token={token}") as browser:
            browser.ask()
            browser.frame()


def test_beyond_this_machine_a_token_is_drawn(producer: Producer) -> None:
    endpoint = producer.publisher.endpoint
    with (
        WebRelay("0.0.0.0:0", frames_endpoint=endpoint) as relay,
        WebRelay("0.0.0.0:0", frames_endpoint=endpoint) as other,
    ):
        assert len(relay.token) >= 32
        assert relay.token != other.token
        assert "0.0.0.0" not in relay.url
        port = relay.address.rpartition(":")[2]
        assert refusal(f"127.0.0.1:{port}")[0] == 401
        with Browser(f"127.0.0.1:{port}", f"token={relay.token}") as browser:
            browser.ask()
            browser.frame()


def test_no_more_pages_than_sixteen(relay: WebRelay) -> None:
    pages = [Browser(relay.address) for _ in range(MAX_PAGES)]
    try:
        status, text = refusal(relay.address)
        assert status == 503
        assert "Close one" in text
        pages.pop().close()
        eventually(lambda: relay.page_count < MAX_PAGES)
        pages.append(Browser(relay.address))
        pages[-1].ask()
        pages[-1].frame()
    finally:
        for page in pages:
            page.close()


def test_page_that_asks_for_nothing_gives_its_place_to_another(
    relay: WebRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine_bridge.web.relay.IDLE_S", 0.2)
    pages = [Browser(relay.address) for _ in range(MAX_PAGES)]
    try:
        time.sleep(0.3)
        pages[0].ask()
        pages[0].frame()
        with Browser(relay.address) as newcomer:
            newcomer.ask()
            newcomer.frame()
        pages[0].ask()
        pages[0].frame()
        assert relay.refused["idle"] == 1
    finally:
        for page in pages:
            page.close()


def test_page_that_pings_on_and_reads_no_answer_is_cut_off(relay: WebRelay, stopped_pages: list[socket.socket]) -> None:
    pings = b"\x89\xfd\x00\x00\x00\x00" + bytes(125)

    def flood() -> bool:
        for page in stopped_pages:
            with contextlib.suppress(OSError):
                page.sendall(pings * 1000)
        return relay.page_count == 0

    for page in stopped_pages:
        page.settimeout(1.0)
        # With a smaller window Linux stops sending, too, as soon as the window is full of answers.
        page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    eventually(flood)


def test_connections_that_say_nothing_do_not_crowd_out_others(relay: WebRelay) -> None:
    host, _, port = relay.address.rpartition(":")
    silent = [socket.create_connection((host, int(port)), PATIENCE_S) for _ in range(200)]
    try:
        eventually(lambda: _is_served(relay.address))
    finally:
        for connection in silent:
            connection.close()


def _is_served(address: str) -> bool:
    try:
        return get(address, "/").status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize("query", ["enc=shm", "enc=h264/", "enc=", "stream=a/b", "stream=" + "a" * 60, "stream=%00"])
def test_a_query_that_means_nothing_is_refused(relay: WebRelay, query: str) -> None:
    with_blank = query if query != "enc=" else "enc=%20"
    assert refusal(relay.address, with_blank)[0] == 400


# -- start and stop


def test_an_address_that_cannot_be_bound_says_how_to_fix_it(relay: WebRelay) -> None:
    with pytest.raises(WireError, match="port 0 takes a free one"):
        WebRelay(relay.address, frames_endpoint="tcp://127.0.0.1:1")
    for address in ("5762", "studio:5762", "127.0.0.1:99999", "127.0.0.1"):
        with pytest.raises(WireError, match=r"127\.0\.0\.1:5762"):
            WebRelay(address, frames_endpoint="tcp://127.0.0.1:1")
    with pytest.raises(WireError, match="without a path"):
        WebRelay("127.0.0.1:0", frames_endpoint="tcp://127.0.0.1:1", origins=["http://studio/page"])
    with pytest.raises(WireError, match="16 to 128"):
        WebRelay("127.0.0.1:0", frames_endpoint="tcp://127.0.0.1:1", token="short")


def test_closing_says_goodbye_to_the_pages(relay: WebRelay) -> None:
    with Browser(relay.address) as browser:
        relay.close()
        relay.close()
        assert closing_code(browser) == 1001


@pytest.fixture
def stopped_pages(relay: WebRelay) -> Iterator[list[socket.socket]]:
    """Pages that have asked for more and read nothing, not even answers to pings."""
    pages = []
    host, _, port = relay.address.rpartition(":")
    for _ in range(4):
        page = socket.create_connection((host, int(port)), PATIENCE_S)
        page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page.sendall(
            f"GET /avf1?stream=aki HTTP/1.1\r\nHost: {relay.address}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        assert page.recv(12) == b"HTTP/1.1 101"
        pages.append(page)
    yield pages
    for page in pages:
        page.close()


def ask_from(pages: list[socket.socket]) -> bool:
    """Let all pages ask once more; False when all are disconnected."""
    alive = 0
    for page in pages:
        with contextlib.suppress(OSError):
            page.sendall(b"\x81\x84\x00\x00\x00\x00more")
            alive += 1
    time.sleep(0.02)
    return alive > 0


def test_pages_that_read_nothing_are_cut_off(
    producer: Producer, relay: WebRelay, stopped_pages: list[socket.socket]
) -> None:
    producer.pixels = np.full((1024, 1024, 4), 90, np.uint8)
    eventually(lambda: not ask_from(stopped_pages) or relay.page_count == 0)


def test_closing_does_not_wait_for_pages_that_read_nothing(
    producer: Producer, relay: WebRelay, stopped_pages: list[socket.socket]
) -> None:
    producer.pixels = np.full((1024, 1024, 4), 90, np.uint8)
    for _ in range(100):
        ask_from(stopped_pages)
    started = time.monotonic()
    relay.close()
    # Waiting for them would take until they are disconnected, ten seconds after the frame that they did not read.
    assert time.monotonic() - started < 6.0
    assert relay.page_count == 0


def test_the_relay_runs_beside_any_producer(producer: Producer) -> None:
    command = [sys.executable, "-m", "runtime.cli", "web", producer.publisher.endpoint, "--web", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("page http://127.0.0.1:")
            with Browser(line.split("//")[1].strip("/\n")) as browser:
                browser.ask()
                assert np.array_equal(browser.frame().pixels, producer.pixels)
        finally:
            process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_the_command_says_how_to_fix_a_taken_port(relay: WebRelay, run_program: RunProgram) -> None:
    result = run_program([sys.executable, "-m", "runtime.cli", "web", "--web", relay.address])
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: Cannot serve the page at {relay.address}")
    assert "Traceback" not in result.stderr


def test_the_live_loop_serves_the_page() -> None:
    command = [sys.executable, "-m", "runtime.cli", "live", "--engine", "synthetic", "--no-window"]
    command += ["--publish", "off", "--control", "off", "--web", "127.0.0.1:0", "--stream", "npc"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("page "))
            with Browser(line.split("//")[1].strip("/\n"), "") as browser:
                browser.ask()
                assert browser.frame().stream == "npc"
                process.terminate()
                while not isinstance(browser.message(), Bye):
                    pass
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
