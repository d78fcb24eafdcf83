"""The relay: WebSockets and the page on one side, the sockets of `avf/1` on the other. Decodes no pixels.

One thread with an event loop of its own. It connects to the producer as any client does, so it works in the producer's
process and beside it alike, and what browsers do never reaches the producer's loop: of frames only the newest is held,
a page that does not ask is sent none, and when no page has asked for five seconds the subscription ends, so that the
producer may stop rendering.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import socket as sockets
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, cast
from urllib.parse import parse_qs, quote, urlsplit

import zmq
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine_bridge.access.endpoints import as_reached, check_connect
from engine_bridge.access.keys import ClientKeys
from engine_bridge.avf.packing import MAX_BYTES
from engine_bridge.avf.wire import topic_of, topic_prefix
from engine_bridge.errors import WireError
from engine_bridge.sockets.zmq_sockets import Context, OncePerSecond

from .feeds import ControlLink, Feed, unpack_part
from .guard import DEFAULT_WEB_ADDRESS, Guard, Refusal, is_loopback, parse_address
from .pages import Pages

logger = logging.getLogger(__name__)
_library_logger = logging.getLogger(f"{__name__}.websockets")
_library_logger.setLevel(logging.CRITICAL)  # a port scan is no event

MAX_PAGES: Final = 16
MAX_CONNECTIONS: Final = 128  # those that only load files, or say nothing, included; the oldest such one goes first
MAX_UNREAD_BYTES: Final = 256 * 1024  # of answers to pings, beside one message
MAX_MESSAGE_BYTES: Final = MAX_BYTES + 5  # of what a browser sends: one control message with its frame
MESSAGES_PER_SECOND: Final = 1000  # of one browser; more are read more slowly
IDLE_S: Final = 5.0  # without being asked for so long, nobody watches
LOOK_AROUND_S: Final = 0.5
HANDSHAKE_S: Final = 5.0
PING_S: Final = 10.0  # and as long again for the answer
SEND_S: Final = 10.0
GOODBYE_S: Final = 1.0
LAST_WORDS_S: Final = 0.1  # a producer that ends says so just before its relay does: let that reach the pages
START_S: Final = 10.0
NOTICES_KEPT: Final = 8
ANSWERS_KEPT: Final = 32

_VARIANT = re.compile(r"[a-z0-9]{1,8}")
_NOT_FOR_BROWSERS: Final = ("shm",)
_POLICY_VIOLATION: Final = 1008
_TRY_AGAIN_LATER: Final = 1013


class WebRelay:
    """Serves the page and relays frames and controls for it, until closed.

    Attributes:
        address: `HOST:PORT` that is bound, with the port that was found.
        url: to open in a browser, with the token if one is needed.
        refused: requests that got nothing, by the code of `Refusal`.
    """

    def __init__(
        self,
        address: str = DEFAULT_WEB_ADDRESS,
        *,
        frames_endpoint: str,
        control_endpoint: str | None = None,
        stream: str | None = None,
        token: str | None = None,
        origins: Sequence[str] = (),
        keys: ClientKeys | None = None,
    ) -> None:
        """Bind the address and begin to serve.

        Args:
            address: `HOST:PORT`; port 0 takes a free one. Beyond loopback nothing is encrypted, and a token is needed.
            frames_endpoint: of the producer's frame channel.
            control_endpoint: of its control channel; None takes what the producer's heartbeat says.
            stream: name of the stream for pages that name none; None takes the first one heard.
            token: 16 to 128 of the characters A-Z a-z 0-9 _ -; None draws one where one is needed.
            origins: pages of other origins that may connect, for example `http://localhost:8000`.
            keys: for a producer that has keys; between the page and the relay nothing is encrypted.

        Raises:
            WireError: the address is taken, or an argument is malformed.
        """
        self._host, self._port = parse_address(address)
        self._keys = keys
        self._frames_endpoint = check_connect(frames_endpoint)
        self._control_endpoint = None if control_endpoint is None else check_connect(control_endpoint)
        if stream is not None:
            topic_of(stream)
        self._stream = stream
        self._guard = Guard(loopback=is_loopback(self._host), token=token, origins=origins)
        self._files = Pages(self._guard.origins)
        self.refused: Counter[str] = Counter()
        self._log = OncePerSecond(logger)
        self._audiences: dict[tuple[str | None, str], _Audience] = {}
        self._page_count = 0
        self._connected: dict[_CountedConnection, None] = {}  # the oldest first
        self._started: Future[int] = Future()
        self._loop = asyncio.SelectorEventLoop()  # the kind that can wait for ZeroMQ on every system
        self._thread = threading.Thread(target=self._run, name="bunraku-web", daemon=True)
        self._thread.start()
        try:
            self._port = self._started.result(START_S)
        except OSError as error:
            self._thread.join()
            raise WireError(
                f"Cannot serve the page at {address}: {error.strerror or error}. "
                "Is another bunraku serving there? Stop it, or choose another port; port 0 takes a free one."
            ) from error
        self.address = f"{_bracketed(self._host)}:{self._port}"
        self.url = self._url()

    @property
    def page_count(self) -> int:
        """How many pages are connected."""
        return self._page_count

    @property
    def token(self) -> str:
        """What a WebSocket must show, empty if nothing."""
        return self._guard.token

    def close(self) -> None:
        """Say goodbye to the pages and stop, within a second or two; a second call does nothing."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended in between
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(GOODBYE_S + START_S)
            if self._thread.is_alive():
                logger.error("the relay at %s did not stop", self.address)

    def __enter__(self) -> WebRelay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # From here on: the thread.

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # the edge of the thread
            if self._started.done():
                logger.exception("the relay ended")
            else:
                self._started.set_exception(error)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._context: Context = zmq.Context()
        try:
            async with serve(
                self._converse,
                self._host,
                self._port,
                process_request=self._answer,
                create_connection=cast(type[ServerConnection], functools.partial(_CountedConnection, self._connected)),
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=HANDSHAKE_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=GOODBYE_S,
                server_header=None,
                logger=_library_logger,
            ) as server:
                self._started.set_result(next(iter(server.sockets)).getsockname()[1])
                while not self._stop.is_set():
                    for audience in self._audiences.values():
                        audience.look_around()
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), LOOK_AROUND_S)
                if self._page_count:
                    await asyncio.sleep(LAST_WORDS_S)
                self._loop.call_later(GOODBYE_S, self._hang_up_on_all)
        finally:
            self._context.destroy(linger=0)

    def _hang_up_on_all(self) -> None:
        """Do not wait for those who read no goodbye."""
        for connection in list(self._connected):
            connection.transport.abort()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Serve a file, refuse, or let a WebSocket through (None)."""
        origins = request.headers.get_all("Origin")
        where = urlsplit(request.path)
        if getattr(request, "method", "GET") != "GET":  # websockets before 16 hangs up on others by itself
            refusal: Refusal | None = Refusal(405, "method", "Only GET is answered here")
        else:
            refusal = self._guard.check_place(
                request.headers.get_all("Host"), origins, str(connection.local_address[0])
            ) or self._refusal(where.path, where.query)
        origin = origins[0] if len(origins) == 1 else None
        if refusal is not None:
            self.refused[refusal.code] += 1
            self._log.warn(f"{self.address}: refused a request ({refusal.code}): {refusal.text}")
            return self._response(refusal.status, "text/plain; charset=utf-8", (refusal.text + "\n").encode(), origin)
        found = self._files.find(where.path)
        return None if found is None else self._response(200, *found, origin)

    def _refusal(self, path: str, query: str) -> Refusal | None:
        if path != "/avf1":
            return None if self._files.find(path) else Refusal(404, "path", "There is nothing here but the page at /")
        if refusal := self._guard.check_token(parse_qs(query).get("token", [])):
            return refusal
        stream, variant = _wanted(query)
        if stream is not None:
            try:
                topic_of(stream)
            except WireError as error:
                return Refusal(400, "query", str(error))
        if not _VARIANT.fullmatch(variant) or variant in _NOT_FOR_BROWSERS:
            return Refusal(400, "query", "enc names no variant for browsers. Use raw, lz4 or jpeg.")
        if self._page_count >= MAX_PAGES and self._idle_page() is None:
            return Refusal(503, "full", f"{MAX_PAGES} pages watch already. Close one of them.")
        return None

    def _response(self, status: int, content_type: str, body: bytes, origin: str | None) -> Response:
        headers = Headers(self._files.headers(content_type, len(body), origin))
        return Response(status, HTTPStatus(status).phrase, headers, body)

    async def _converse(self, websocket: ServerConnection) -> None:
        """Serve one page until it is gone."""
        assert websocket.request is not None
        stream, variant = _wanted(urlsplit(websocket.request.path).query)
        idle = self._idle_page() if self._page_count >= MAX_PAGES else None
        if idle is not None:
            self.refused["idle"] += 1
            idle.abort()
        elif self._page_count >= MAX_PAGES:  # several shook hands at once
            await websocket.close(_TRY_AGAIN_LATER, "too many pages watch already")
            return
        self._page_count += 1
        audience = self._audience(stream or self._stream, variant)
        assert isinstance(websocket, _CountedConnection)
        websocket.is_page = True
        page = _Page(websocket, audience.feed)
        audience.pages.add(page)
        self._connect_control(page, audience)
        sender = asyncio.create_task(page.send_what_comes())
        try:
            await self._listen(page, websocket, audience)
        except ConnectionClosed:
            pass  # without a goodbye; that is how tabs go
        except Exception:  # the edge of a page's task; the others go on
            logger.exception("%s: a page's connection broke", self.address)
        finally:
            sender.cancel()
            page.close()
            audience.pages.remove(page)
            self._page_count -= 1
            if not audience.pages:
                del self._audiences[audience.key]
                audience.feed.close()

    def _idle_page(self) -> _Page | None:
        """Of the pages that have not asked for a frame lately, the one that has not for longest."""
        pages = [page for audience in self._audiences.values() for page in audience.pages if page.is_idle]
        return min(pages, key=lambda page: page.asked_s, default=None)

    async def _listen(self, page: _Page, websocket: ServerConnection, audience: _Audience) -> None:
        second, messages = time.monotonic(), 0
        async for message in websocket:
            if message == "more":
                audience.feed.wake()
                page.ask()
            elif isinstance(message, bytes) and (part := unpack_part(message)) is not None:
                self._pass_on(page, audience, part)
            else:
                await websocket.close(_POLICY_VIOLATION, "say `more`, or one control message of one part")
                return
            messages += 1
            if messages >= MESSAGES_PER_SECOND:
                # Unread messages wait in the sender's own buffers; nothing piles up here.
                await asyncio.sleep(max(0.0, second + 1.0 - time.monotonic()))
                second, messages = time.monotonic(), 0

    def _pass_on(self, page: _Page, audience: _Audience, part: bytes) -> None:
        self._connect_control(page, audience)
        if page.control is not None:
            page.control.send(part)

    def _connect_control(self, page: _Page, audience: _Audience) -> None:
        endpoint = self._control_endpoint or audience.control_endpoint
        if endpoint is not None and (page.control is None or page.control.endpoint != endpoint):
            page.hang_up()
            page.control = ControlLink(self._context, endpoint, self._keys, page.tell_answer)

    def _audience(self, stream: str | None, variant: str) -> _Audience:
        key = (stream, variant)
        if key not in self._audiences:
            audience = _Audience(key)
            audience.feed = Feed(
                self._context,
                self._frames_endpoint,
                keys=self._keys,
                prefix=topic_prefix(variant) if stream is None else topic_of(stream, variant),
                whole=stream is not None,
                tell=audience.tell,
                news=audience.wake,
                control_told=functools.partial(self._note_control, audience),
            )
            self._audiences[key] = audience
        return self._audiences[key]

    def _note_control(self, audience: _Audience, endpoint: str) -> None:
        endpoint = as_reached(endpoint, self._frames_endpoint)
        if endpoint == audience.control_endpoint:
            return
        try:
            audience.control_endpoint = check_connect(endpoint)
        except WireError as error:
            self._log.warn(f"{self.address}: the producer names no usable control channel: {error}")
            return
        for page in audience.pages:
            self._connect_control(page, audience)

    def _url(self) -> str:
        host = _bracketed(_reachable(self._host))
        return f"http://{host}:{self._port}/" + (f"?token={quote(self._guard.token)}" if self._guard.token else "")


class _Page:
    """What one page is owed.

    Attributes:
        asks: whether it wants a frame newer than the last one it got.
        control: its connection to the control channel, made with its first control message.
    """

    def __init__(self, websocket: _CountedConnection, feed: Feed) -> None:
        self.asks = False
        self.asked_s = time.monotonic()  # when it last asked for a frame
        self.control: ControlLink | None = None
        self._websocket = websocket
        self._feed = feed
        self._last_number = 0
        self._ending = False
        self._notices: deque[bytes] = deque(maxlen=NOTICES_KEPT)
        self._answers: deque[bytes] = deque(maxlen=ANSWERS_KEPT)
        self._something = asyncio.Event()

    @property
    def watches(self) -> bool:
        """Whether frames are worth making for it."""
        return self.asks or time.monotonic() - self.asked_s < IDLE_S

    @property
    def is_idle(self) -> bool:
        """Whether its place may be given to another page: it has not asked for a frame lately."""
        return time.monotonic() - self.asked_s >= IDLE_S and not self._ending

    def abort(self) -> None:
        """Hang up."""
        self._ending = True
        self._websocket.transport.abort()

    def ask(self) -> None:
        """Note that it wants the next frame."""
        self.asks = True
        self.asked_s = time.monotonic()
        self._something.set()

    def wake(self) -> None:
        """Look whether there is something to send."""
        self._something.set()

    def tell(self, packed: bytes) -> None:
        """Send a heartbeat or bye; the oldest is lost if the page does not read."""
        self._notices.append(packed)
        self._something.set()

    def tell_answer(self, packed: bytes) -> None:
        """Send an answer of the control channel; the oldest is lost if the page does not read."""
        self._answers.append(packed)
        self._something.set()

    async def send_what_comes(self) -> None:
        """Send until the connection ends. At most one message is on its way, and the newest frame follows it."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._something.wait()
                self._something.clear()
                while self._answers or self._notices:
                    await self._send((self._answers or self._notices).popleft())
                if self.asks and self._feed.number > self._last_number and (frame := self._feed.newest()) is not None:
                    self.asks = False
                    self._last_number = self._feed.number
                    await self._send(frame)

    async def _send(self, message: bytes) -> None:
        """Send, but hang up on who reads nothing for so long; a ping could not get through either."""
        self._websocket.owed_bytes = len(message)
        try:
            await asyncio.wait_for(self._websocket.send(message), SEND_S)
        except asyncio.TimeoutError:
            self._websocket.transport.abort()

    def hang_up(self) -> None:
        """Leave the control channel."""
        if self.control is not None:
            self.control.close()
            self.control = None

    def close(self) -> None:
        """Free what it holds."""
        self.hang_up()


class _Audience:
    """The pages that share a feed."""

    feed: Feed

    def __init__(self, key: tuple[str | None, str]) -> None:
        self.key = key
        self.control_endpoint: str | None = None  # as the stream's heartbeat tells it
        self.pages: set[_Page] = set()

    def tell(self, packed: bytes) -> None:
        for page in self.pages:
            page.tell(packed)

    def wake(self) -> None:
        for page in self.pages:
            if page.asks:
                page.wake()

    def look_around(self) -> None:
        for page in self.pages:
            if page.control is not None:
                page.control.look_around()
        if any(page.watches for page in self.pages):
            self.feed.look_around()
        else:
            self.feed.sleep()


class _CountedConnection(ServerConnection):
    """A connection that makes room when there are too many, and takes no more pings than it may answer.

    Attributes:
        is_page: whether it is a page's, with a WebSocket; these are counted apart.
        owed_bytes: of the message that is being sent.
    """

    def __init__(self, connected: dict[_CountedConnection, None], *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.is_page = False
        self.owed_bytes = 0
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connected[self] = None
        if len(self._connected) > MAX_CONNECTIONS:
            oldest = next(connection for connection in self._connected if not connection.is_page)
            self._connected.pop(oldest)
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > 2 * self.owed_bytes + MAX_UNREAD_BYTES:
            self.transport.abort()  # it pings on and reads no answer

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connected.pop(self, None)


def _wanted(query: str) -> tuple[str | None, str]:
    """Stream, None if none is named, and variant of a query."""
    fields = parse_qs(query)
    return fields.get("stream", [None])[0], fields.get("enc", ["raw"])[0]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reachable(host: str) -> str:
    """An address to type in: for a wildcard, the one that this machine has in its network."""
    if host not in ("0.0.0.0", "::"):
        return host
    family, elsewhere = (sockets.AF_INET, "192.0.2.1") if host == "0.0.0.0" else (sockets.AF_INET6, "2001:db8::1")
    with sockets.socket(family, sockets.SOCK_DGRAM) as probe:  # sends nothing, only asks for the route
        try:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1" if family == sockets.AF_INET else "::1"
