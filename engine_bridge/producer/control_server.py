"""The producer side of the control channel: a ROUTER socket that the live loop polls.

No thread, like the publisher: the live loop calls `poll` once per round, as late as possible before it renders.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import msgspec
import zmq

from engine_bridge.access.keys import ServerKeys
from engine_bridge.avf.control_wire import (
    Hello,
    Ping,
    Pong,
    Refuse,
    Request,
    ServerMessage,
    decode_client_message,
    encode_server_message,
    welcome_of,
)
from engine_bridge.avf.messages import ClientStats, ControlState, StreamInfo
from engine_bridge.clock import now_ns
from engine_bridge.errors import MessageRejected, WireError
from engine_bridge.sockets.encryption import door_of
from engine_bridge.sockets.guard import ConnectionGuard, Limits
from engine_bridge.sockets.inbox import ControlInbox
from engine_bridge.sockets.zmq_sockets import CONTROL_QUEUE, MAX_CONTROL_BYTES, OncePerSecond, open_socket

logger = logging.getLogger(__name__)

MAX_CLIENTS: Final = 64  # remembered; the one silent longest is forgotten first
RECEIVE_BUFFER_BYTES: Final = 8192  # kernel buffer; lets little of a flood through before the guard checks again
LIMITS: Final = Limits(
    connections=128,
    unfinished_bytes=128 * 1024,  # two of the longest messages; a full queue of typical ones takes 16 KiB
    all_unfinished_bytes=384 * 1024,
    stalled=8,
)
MAX_FULL_POLLS: Final = 60  # in a row; about a second in which more arrives than is read
MAX_HANG_UPS: Final = 8  # since then; each leaves some hundred kilobytes held by libzmq
FLOODS: Final = "control_floods"
PRESENT_NS: Final = 3_000_000_000


@dataclass(slots=True)
class _Client:
    name: str = ""
    last_id: int = 0
    heard_ns: int = 0
    wanted_fps: float = 0.0
    stats: ClientStats | None = None
    reported_ns: int = 0


class ControlServer:
    """Takes the absolute states that clients send; the newest of all clients wins.

    A client is answered, and may be refused, but never waited for. A bad message is counted, refused with a code, and
    logged at most once per second; the last good state stays.

    Attributes:
        endpoint: to connect to, with the actual port.
        accepted: states taken.
        late: states dropped as outdated by their number.
        bad: rejected messages by code.
    """

    def __init__(
        self,
        endpoint: str,
        info: StreamInfo,
        *,
        streams: Sequence[str] = (),
        resend_last: Callable[[], None] | None = None,
        keys: ServerKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """Bind the socket.

        Args:
            endpoint: on this machine only, unless there are keys; port 0 takes a free one. The default is
                `DEFAULT_CONTROL_ENDPOINT`.
            info: what the stream shows and takes; `update` changes it.
            streams: names of all streams of the producer, sent to clients; empty if this is the only one.
            resend_last: called in `poll` when a client asks for the last frame; usually `Publisher.resend_last`.
            keys: admit only clients on their list, encrypted; None admits anyone on this machine.
            insecure: without keys, let other machines connect as well.

        Raises:
            WireError: the endpoint is taken, malformed, or without keys reachable from other machines, or `info` is
                too large.
        """
        self.accepted = 0
        self.late = 0
        self.bad: Counter[str] = Counter()
        self._info = info
        self._streams = tuple(streams)
        self._welcome = encode_server_message(welcome_of(info, self._streams))
        self._resend_last = resend_last
        self._clients: OrderedDict[bytes, _Client] = OrderedDict()
        self._log = OncePerSecond(logger)
        self._door = door_of(keys, insecure=insecure)
        self._broken: Counter[str] = Counter()  # limits exceeded on closed sockets
        self._open()
        self._is_bound = True
        try:
            self.endpoint = self._door.bind(self._socket, endpoint)
        except WireError:
            self.close()
            raise

    @property
    def info(self) -> StreamInfo:
        """The stream info sent to clients."""
        return self._info

    @property
    def client_count(self) -> int:
        """Clients heard from within the last three seconds."""
        return len(self._present())

    @property
    def connection_count(self) -> int:
        """Number of connections, including silent ones."""
        return self._guard.connection_count

    @property
    def over_limits(self) -> dict[str, int]:
        """Connections closed and messages never handled, by the limit exceeded (docs/protocol.md)."""
        return dict(self._broken + Counter(self._guard.hung_up) + self._inbox.lost)

    @property
    def client_stats(self) -> list[ClientStats]:
        """Frame reports of the clients heard from within the last three seconds."""
        return [client.stats for client in self._present() if client.stats is not None]

    @property
    def wanted_fps(self) -> list[float]:
        """Frames per second needed by each client heard from within the last three seconds; 0 if it states none."""
        return [client.wanted_fps for client in self._present()]

    @property
    def ages_ms(self) -> dict[bytes, float]:
        """Median age of the frames taken by each client, by its address, if reported within three seconds."""
        now = now_ns()
        return {
            address: client.stats.age_p50_ms
            for address, client in self._clients.items()
            if client.stats is not None and client.stats.age_p50_ms and now - client.reported_ns < PRESENT_NS
        }

    def update(self, info: StreamInfo) -> None:
        """Change what the stream shows and takes, and inform all clients.

        Raises:
            WireError: `info` is too large.
        """
        self._welcome = encode_server_message(welcome_of(info, self._streams))
        self._info = info
        for address in self._clients:
            self._send(address, self._welcome)

    def poll(self) -> ControlState | None:
        """Read and answer waiting messages. Never blocks, and takes a bounded time; the rest is left for later calls.

        Returns:
            the newest accepted state, numbers clamped to the limits in `info`; None if there is none since the last
            call. It is absolute: it replaces the state before it. Only `calibrate` is kept from superseded ones.
        """
        newest: ControlState | None = None
        calibrate = False
        self._start_afresh_if_flooded()
        for address, parts in self._inbox.messages():
            state = self._handle(address, parts)
            if state is not None:
                newest = state
                calibrate |= state.calibrate
        if newest is not None and calibrate:
            newest = msgspec.structs.replace(newest, calibrate=True)
        return newest

    def close(self) -> None:
        """Free the socket. Safe to call twice."""
        if not self._socket.closed:
            self._close_socket()
            self._door.close()

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self._socket = open_socket(self._door.context, zmq.ROUTER, queue=CONTROL_QUEUE, max_bytes=MAX_CONTROL_BYTES)
        self._socket.rcvbuf = RECEIVE_BUFFER_BYTES
        self._guard = ConnectionGuard(self._socket, LIMITS, name="bunraku-control-guard", resets=True)
        self._inbox = ControlInbox(self._socket, self._guard)
        self._hung_up_before = 0  # when the queue was last empty

    def _close_socket(self) -> None:
        self._guard.close()
        self._broken += Counter(self._guard.hung_up) + self._inbox.lost
        self._socket.close()

    def _start_afresh_if_flooded(self) -> None:
        """Open a new socket when more arrives than is read, after a flood or a long suspend, instead of reading on.

        Messages waiting in the old one are lost with it, as are the connections. Our clients reconnect after a tenth of
        a second and repeat their state, so the newest state arrives sooner than through a long queue.
        """
        hung_up = sum(self._guard.hung_up.values())
        if not self._inbox.is_behind:
            self._hung_up_before = hung_up
        # A closed client leaves behind what had already arrived, and reconnects at once to send as much again.
        flooded = self._inbox.full_polls >= MAX_FULL_POLLS or hung_up - self._hung_up_before >= MAX_HANG_UPS
        if self._is_bound and not flooded:
            return
        if self._is_bound:
            self._log.warn(f"{self.endpoint}: more control messages arrive than can be read; all clients reconnect")
            self._close_socket()
            self._broken[FLOODS] += 1
            self._open()
            self._guard.trim_soon()
            self._is_bound = False
        with contextlib.suppress(WireError):  # libzmq releases the port a moment later; the next poll retries
            self._door.bind(self._socket, self.endpoint)
            self._is_bound = True

    def _handle(self, address: bytes, parts: list[bytes]) -> ControlState | None:
        try:
            if len(parts) != 1:
                raise MessageRejected("parts", f"a control message of {len(parts)} parts; one is right")
            message = decode_client_message(parts[0], self._info)
        except MessageRejected as error:
            self.bad[error.code] += 1
            self._log.warn(f"{self.endpoint}: refused a control message ({error.code}): {error}")
            self._answer(address, Refuse(code=error.code, text=str(error), ses=self._info.session))
            return None
        client = self._client(address)
        if isinstance(message, ControlState):
            return self._newer(client, message)
        if isinstance(message, Hello):
            client.name = message.name[:64]
            client.wanted_fps = message.want.fps
            client.last_id = 0
            self._send(address, self._welcome)
        elif isinstance(message, Ping):
            self._answer(address, Pong(t=message.t, r=now_ns(), ses=self._info.session))
        elif isinstance(message, Request):
            if message.what == "info":
                self._send(address, self._welcome)
            elif self._resend_last is not None:
                self._resend_last()
        else:
            client.stats, client.reported_ns = message, client.heard_ns
        return None

    def _newer(self, client: _Client, state: ControlState) -> ControlState | None:
        if state.control_id <= client.last_id:
            self.late += 1
            return None
        client.last_id = state.control_id
        self.accepted += 1
        return state

    def _present(self) -> list[_Client]:
        now = now_ns()
        return [client for client in self._clients.values() if now - client.heard_ns < PRESENT_NS]

    def _client(self, address: bytes) -> _Client:
        client = self._clients.setdefault(address, _Client())
        self._clients.move_to_end(address)
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        client.heard_ns = now_ns()
        return client

    def _answer(self, address: bytes, message: ServerMessage) -> None:
        self._send(address, encode_server_message(message))

    def _send(self, address: bytes, packed: bytes) -> None:
        # ROUTER drops messages for a client that has left or whose queue is full.
        self._socket.send_multipart([address, packed], zmq.NOBLOCK)
