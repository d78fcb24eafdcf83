"""ZeroMQ sockets as this protocol needs them: newest first, nothing lingering, dead peers noticed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

import zmq

from engine_bridge.access.endpoints import check_bind, check_connect, is_ipv6
from engine_bridge.access.knock import answers
from engine_bridge.avf.planes import MAX_PICTURE_BYTES
from engine_bridge.clock import now_ns
from engine_bridge.errors import WireError

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Socket: TypeAlias = "zmq.Socket[bytes]"

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES: Final = MAX_PICTURE_BYTES  # of one part on the frame channel; libzmq disconnects peers that send more
MAX_CONTROL_BYTES: Final = 1024 * 1024  # the same on the control channel; a message may fill only 64 KiB of it
FRAME_QUEUE: Final = 2  # messages; a longer queue only makes frames older
CONTROL_QUEUE: Final = 8
NO_LIMIT: Final = 0  # of a queue, in libzmq's terms
PRODUCERS: Final = (zmq.XPUB, zmq.ROUTER)
ZAP_DOMAIN: Final = b"bunraku"
PRODUCER_HANDSHAKE_MS: Final = 2000
CLIENT_HANDSHAKE_MS: Final = 10_000
CONNECT_MS: Final = 2500  # a flooded producer admits nobody; the kernel alone would retry ever less often
KEEPALIVE_IDLE_S: Final = 3  # after which the kernel asks a silent peer's kernel, KEEPALIVE_PROBES times
KEEPALIVE_INTERVAL_S: Final = 1
KEEPALIVE_PROBES: Final = 3
UNREAD_MS: Final = 6000  # how long a peer may leave data unread
JOIN_TIMEOUT_S: Final = 2.0


def open_socket(context: Context, kind: int, *, queue: int, max_bytes: int) -> Socket:
    """Open a socket that closes without blocking and that no peer can bring down.

    libzmq 4.3.5 aborts the whole process (`Assertion failed: !_io_error`) when it writes a ZMTP heartbeat to a peer
    that was reset while reading from it was paused, because its queue was full. Two things lead there: heartbeats of
    our own, and a peer's PING, which libzmq answers. So there are none of ours, and reading is never paused: a
    receiving queue has no limit. The owner of the socket drains it all the time, and opens another one instead of
    reading through a flood.

    The kernel notices a peer whose machine is gone (TCP keep-alive); only the owner can notice one that is silent.

    Args:
        context: of the socket.
        kind: of the socket, for example `zmq.SUB`.
        queue: messages that may wait to be sent to each peer.
        max_bytes: largest part accepted; libzmq disconnects a peer that sends more.
    """
    socket = context.socket(kind)
    socket.linger = 0
    socket.sndhwm = queue
    socket.rcvhwm = NO_LIMIT
    socket.maxmsgsize = max_bytes
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl = KEEPALIVE_INTERVAL_S
    socket.tcp_keepalive_cnt = KEEPALIVE_PROBES
    if kind in PRODUCERS:
        socket.handshake_ivl = PRODUCER_HANDSHAKE_MS
        # libzmq 4.3.5 also aborts if a socket is closed while a peer of ZMTP 1 or 2 shakes hands. A socket with a
        # ZAP domain rejects these. Without keys nobody answers for the domain, and ZMTP 3 proceeds alone.
        socket.zap_domain = ZAP_DOMAIN
        # A subscriber that reads nothing does not count as a viewer, even if its machine still answers.
        socket.setsockopt(zmq.TCP_MAXRT, UNREAD_MS)
    else:
        # A client waits for a suspended producer. Retrying again and again would only fill its backlog.
        socket.handshake_ivl = CLIENT_HANDSHAKE_MS
        socket.connect_timeout = CONNECT_MS
        socket.reconnect_ivl = 100
        socket.reconnect_ivl_max = 1000
    return socket


def bind(socket: Socket, endpoint: str, *, from_elsewhere: bool = False) -> str:
    """Bind a socket.

    Args:
        socket: to bind.
        endpoint: to bind; port 0 takes a free one.
        from_elsewhere: whether other machines may connect.

    Returns:
        the endpoint to connect to, with the actual port.

    Raises:
        WireError: the endpoint may not be bound, or is in use.
    """
    wanted = check_bind(endpoint, from_elsewhere=from_elsewhere)
    socket.ipv6 = is_ipv6(wanted)
    if wanted.startswith("ipc://") and answers(wanted):
        # libzmq would take over the file of an existing socket, dead or alive.
        raise WireError(f"Cannot bind {wanted}: something is listening there already. Stop it, or choose another path.")
    try:
        socket.bind(wanted)
    except zmq.ZMQError as error:
        advice = "Is another bunraku playing? Stop it, or choose another port; port 0 takes a free one"
        raise WireError(f"Cannot bind {wanted}: {error}. {advice}.") from error
    return str(socket.get_string(zmq.LAST_ENDPOINT))


def connect(socket: Socket, endpoint: str) -> None:
    """Connect now, or when the other side appears.

    Raises:
        WireError: the endpoint is malformed.
    """
    wanted = check_connect(endpoint)
    socket.ipv6 = is_ipv6(wanted)
    try:
        socket.connect(wanted)
    except zmq.ZMQError as error:
        raise WireError(f"Cannot connect to {wanted}: {error}. Check the endpoint's spelling.") from error


def receive_parts(socket: Socket, *, limit: int) -> list[zmq.Frame]:
    """Receive one waiting message without copying it.

    Args:
        socket: to read from.
        limit: parts kept; a longer message is read to its end, and one part above the limit is kept to show it.

    Raises:
        zmq.Again: no message is waiting.
    """
    parts = [socket.recv(zmq.NOBLOCK, copy=False)]
    more = parts[0].more
    while more:
        part = socket.recv(zmq.NOBLOCK, copy=False)
        more = part.more
        if len(parts) <= limit:
            parts.append(part)
    return parts


class SocketThread:
    """A thread with its own ZeroMQ context, which others can wake and stop without waiting.

    `run(thread)` is called in the thread. It opens, uses and closes its sockets there, polls `thread.alarm` beside
    them, and returns soon after `thread.stopping` is set. Nothing else touches its sockets, so closing cannot hang.

    Attributes:
        context: for the sockets of the thread.
        alarm: readable after `wake` and `close`; for the thread only.
        failure: what ended the thread other than `close`, None otherwise.
    """

    def __init__(self, name: str, run: Callable[[SocketThread], None]) -> None:
        self.context: Context = zmq.Context()
        self.failure: Exception | None = None
        self._run = run
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._bell = _pair(self.context)
        self._bell.bind("inproc://alarm")
        self._thread = threading.Thread(target=self._guarded_run, name=name, daemon=True)
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether the thread should return."""
        return self._stop.is_set()

    def rest(self, seconds: float) -> None:
        """Wait in the thread, but no longer than until it should stop."""
        self._stop.wait(seconds)

    def hush(self) -> None:
        """Clear the alarm, in the thread."""
        with contextlib.suppress(zmq.Again):
            while True:
                self.alarm.recv(zmq.NOBLOCK)

    def wake(self) -> None:
        """Wake the thread now. Never blocks; harmless after `close`."""
        with self._lock:
            if not self._closed:
                self._ring()

    def close(self) -> None:
        """Stop the thread and free its sockets. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._stop.set()
            self._ring()
            self._thread.join(JOIN_TIMEOUT_S)
            self._bell.close()
            if self._thread.is_alive():
                logger.error("%s did not stop within %s s", self._thread.name, JOIN_TIMEOUT_S)
            else:
                self.context.term()

    def _ring(self) -> None:
        with contextlib.suppress(zmq.Again):  # full: an earlier wake-up is still pending
            self._bell.send(b"", zmq.NOBLOCK)

    def _guarded_run(self) -> None:
        self.alarm = _pair(self.context)
        self.alarm.connect("inproc://alarm")
        try:
            self._run(self)
        except Exception as error:  # top level of the thread
            self.failure = error
            logger.exception("%s ended", self._thread.name)
        finally:
            self.alarm.close()


def _pair(context: Context) -> Socket:
    socket = context.socket(zmq.PAIR)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 1
    return socket


class OncePerSecond:
    """A warning that a flood cannot turn into a flood of lines: one per second, with the number suppressed."""

    def __init__(self, log: logging.Logger, clock: Callable[[], int] = now_ns) -> None:
        self._logger = log
        self._clock = clock
        self._last_ns: int | None = None
        self._left_out = 0

    def warn(self, text: str) -> None:
        """Log the text unless something was logged less than a second ago."""
        now = self._clock()
        if self._last_ns is not None and now - self._last_ns < 1_000_000_000:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last line)" if self._left_out else ""
        self._logger.warning("%s%s", text, more)
        self._last_ns, self._left_out = now, 0
