"""The client side of the control channel: a thread that says hello, sends the newest state and keeps the link alive."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict, deque
from statistics import median
from types import TracebackType
from typing import Final

import msgspec
import zmq

from engine_bridge.access.endpoints import DEFAULT_CONTROL_ENDPOINT, check_connect
from engine_bridge.access.keys import ClientKeys
from engine_bridge.avf.control_wire import (
    MAX_FPS,
    ClientMessage,
    Hello,
    Ping,
    Refuse,
    Request,
    ServerMessage,
    Want,
    Welcome,
    decode_server_message,
    encode_client_message,
)
from engine_bridge.avf.messages import ClientStats, ControlState, LinkState, StreamInfo
from engine_bridge.avf.plain_numbers import plain_state
from engine_bridge.avf.wire import MAJOR
from engine_bridge.clock import now_ns
from engine_bridge.errors import MessageRejected, ProtocolMismatch, WireError
from engine_bridge.frame import Frame
from engine_bridge.sockets.encryption import use_client_keys
from engine_bridge.sockets.guard import ProducerWatch
from engine_bridge.sockets.handshake import HandshakeJudge, HandshakeWatch
from engine_bridge.sockets.zmq_sockets import (
    CONTROL_QUEUE,
    MAX_CONTROL_BYTES,
    OncePerSecond,
    Socket,
    SocketThread,
    connect,
    open_socket,
    receive_parts,
)

from .liveness import Liveness, Patience

logger = logging.getLogger(__name__)

KEEP_IN_TOUCH_NS: Final = 500_000_000
AFTER_REFUSAL_NS: Final = 10_000_000_000  # pause before retrying a producer of another version
MOST_WAITING: Final = 1024  # messages; a producer sends a few per second
HELD_BYTES: Final = 640 * 1024  # that libzmq may buffer: a full queue of the longest messages, plus one
STATES_REMEMBERED: Final = 256
ROUND_TRIPS_KEPT: Final = 32


class ControlClient:
    """Sends absolute control states to a producer; only the newest one waits, and nothing is queued while disconnected.

    Start it before or after the producer, and restart either at any time: after the producer restarts, it says
    hello again and repeats the last state. Nothing here raises because of received data; see `state`,
    `last_refusal` and `bad`.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_CONTROL_ENDPOINT,
        *,
        name: str = "",
        wanted_fps: float = 0.0,
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect now, or when the producer appears.

        Args:
            endpoint: of the producer's control channel.
            name: sent to the producer, for its log.
            wanted_fps: sufficient frames per second; 0 leaves it to the producer, which may render fewer frames
                when no client wants more.
            keys: for a producer that has keys.

        Raises:
            WireError: the endpoint is malformed, or `wanted_fps` is not a rate.
        """
        self.endpoint = check_connect(endpoint)
        if not 0.0 <= wanted_fps <= MAX_FPS:
            raise WireError(f"{wanted_fps} is not a frame rate. Give 1 to {MAX_FPS:g}, or 0 to leave it open")
        self._hello = Hello(proto=[MAJOR], name=name, caps=["raw"], want=Want(fps=float(wanted_fps)))
        self._keys = keys

        # Shared with the thread and guarded by the lock inside the condition.
        self._changed = threading.Condition()
        self._liveness = Liveness()
        self._patience = Patience()  # used by the thread only
        self._info: StreamInfo | None = None
        self._last_refusal: Refuse | None = None
        self._last_error = ""
        self._bad: Counter[str] = Counter()
        self._round_trips_ns: deque[int] = deque(maxlen=ROUND_TRIPS_KEPT)
        self._pending: dict[str, ClientMessage] = {"hello": self._hello}  # one per kind, in sending order
        self._last_state: ControlState | None = None
        self._last_id = 0
        self._sent_ns: OrderedDict[int, int] = OrderedDict()  # control_id -> timestamp_ns

        self._next_touch_ns = 0
        self._connections = 0
        self._judge = HandshakeJudge(self.endpoint, keys)
        self._log = OncePerSecond(logger)
        self._thread = SocketThread("bunraku-control", self._run)

    def send(self, state: ControlState) -> ControlState:
        """Send a state as soon as possible, replacing any state still waiting. Never blocks.

        Args:
            state: `control_id` 0 is replaced by the next number, `timestamp_ns` 0 by the current time. Your own
                numbers must increase. Values may be numbers of numpy or any other library.

        Returns:
            the state as sent.

        Raises:
            WireError: it holds something that is not a finite number; the message names it.
        """
        state = plain_state(state)
        with self._changed:
            self._last_id = state.control_id or self._last_id + 1
            state = msgspec.structs.replace(
                state, control_id=self._last_id, timestamp_ns=state.timestamp_ns or now_ns()
            )
            encode_client_message(state)
            self._queue_state(state)
        self._thread.wake()
        return state

    def report(self, stats: ClientStats) -> None:
        """Report to the producer how its frames fared; call it once per second."""
        self._queue("stat", stats)

    def request_last_frame(self) -> None:
        """Ask the producer to publish the last frame again."""
        self._queue("req", Request(what="last"))

    def motion_to_photon_ms(self, frame: Frame) -> float | None:
        """Time from sending the state that this frame shows until now; None if another client sent it."""
        with self._changed:
            if self._sent_ns.get(frame.control_id) != frame.control_timestamp_ns:
                return None
        return (now_ns() - frame.control_timestamp_ns) / 1e6

    @property
    def info(self) -> StreamInfo | None:
        """What the stream shows and takes, None until the producer's welcome."""
        with self._changed:
            return self._info

    def wait_for_info(self, timeout_s: float) -> StreamInfo | None:
        """Return `info`, waiting for it if necessary."""
        with self._changed:
            self._changed.wait_for(lambda: self._info is not None, timeout_s)
            return self._info

    @property
    def state(self) -> LinkState:
        """State of the link."""
        with self._changed:
            if self._thread.failure is not None:
                return LinkState.ERROR
            return self._liveness.state(now_ns())

    @property
    def last_refusal(self) -> Refuse | None:
        """The last refusal, with `code` and `text`; None if there was none."""
        with self._changed:
            return self._last_refusal

    @property
    def last_error(self) -> str:
        """Why the last message was rejected or the connection refused; empty if neither happened."""
        with self._changed:
            return self._last_error

    @property
    def bad(self) -> dict[str, int]:
        """Rejected messages from the producer, by code."""
        with self._changed:
            return dict(self._bad)

    @property
    def round_trip_ms(self) -> float | None:
        """Median round trip of the latest pings, None before the first answer. Includes waiting for the next poll."""
        with self._changed:
            return median(self._round_trips_ns) / 1e6 if self._round_trips_ns else None

    def close(self) -> None:
        """Stop within milliseconds, with or without a producer. A state still waiting is not sent."""
        self._thread.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _queue(self, kind: str, message: ClientMessage) -> None:
        with self._changed:
            self._pending[kind] = message
        self._thread.wake()

    def _queue_state(self, state: ControlState) -> None:
        waiting = self._pending.get("set")
        if isinstance(waiting, ControlState) and waiting.calibrate:
            state = msgspec.structs.replace(state, calibrate=True)
        self._pending["set"] = self._last_state = state
        self._sent_ns[state.control_id] = state.timestamp_ns
        while len(self._sent_ns) > STATES_REMEMBERED:
            self._sent_ns.popitem(last=False)

    # Everything below runs in the thread.

    def _run(self, thread: SocketThread) -> None:
        while not thread.stopping:
            socket = open_socket(thread.context, zmq.DEALER, queue=CONTROL_QUEUE, max_bytes=MAX_CONTROL_BYTES)
            socket.immediate = True  # queue nothing while disconnected: it would only grow old
            use_client_keys(socket, self._keys)
            watch = HandshakeWatch(socket)
            try:
                pause_s = self._converse(thread, socket, watch)
            finally:
                watch.close()
                socket.close()
            thread.rest(pause_s)

    def _converse(self, thread: SocketThread, socket: Socket, watch: HandshakeWatch) -> float:
        """Communicate until the connection is hopeless or the thread should stop; return the seconds to pause."""
        connect(socket, self.endpoint)
        self._held = ProducerWatch(first_bytes=HELD_BYTES, spare_bytes=HELD_BYTES)
        poller = zmq.Poller()
        poller.register(watch.socket, zmq.POLLIN)
        poller.register(thread.alarm, zmq.POLLIN)
        while not thread.stopping:
            self._keep_in_touch()
            poller.register(socket, zmq.POLLIN | zmq.POLLOUT if self._pending else zmq.POLLIN)
            events = dict(poller.poll(self._held.patience_ms))
            thread.hush()
            for event in watch.events():
                self._held.note(*event)
                refusal = self._judge.refusal_in(*event)
                if refusal is not None:
                    return self._note_refused(refusal)
                if event[0] == zmq.Event.HANDSHAKE_SUCCEEDED:
                    self._greet()
            if events.get(socket, 0) & zmq.POLLOUT:
                self._send_pending(socket)
            if events.get(socket, 0) & zmq.POLLIN:
                self._patience.heard()
                pause_s = self._drain(socket)
                if pause_s is not None:
                    return pause_s
            if self._patience.is_over(now_ns()) and self.state is not LinkState.INCOMPATIBLE:
                return 0.0
            flood = self._held.flood(socket)
            if flood is not None:
                return self._note_refused(f"{self.endpoint} sends {flood}; the connection was closed")
        return 0.0

    def _keep_in_touch(self) -> None:
        """Twice a second: hello until welcomed, then pings; to a producer of another version, a hello every 10 s."""
        now = now_ns()
        if now < self._next_touch_ns:
            return
        with self._changed:
            if self._liveness.state(now) is LinkState.INCOMPATIBLE:
                self._pending = {"hello": self._hello}
                self._next_touch_ns = now + AFTER_REFUSAL_NS
                return
            if self._info is None:
                self._pending["hello"] = self._hello
            else:
                self._pending["ping"] = Ping(t=now)
            self._next_touch_ns = now + KEEP_IN_TOUCH_NS

    def _greet(self) -> None:
        """Repeat the current state on every connection but the first: what was in transit on the last may be lost."""
        self._connections += 1
        if self._connections > 1:
            with self._changed:
                self._repeat()

    def _repeat(self) -> None:
        self._pending["hello"] = self._hello
        if self._last_state is not None and "set" not in self._pending:
            self._last_id += 1
            state = msgspec.structs.replace(
                self._last_state, control_id=self._last_id, timestamp_ns=now_ns(), calibrate=False
            )
            self._queue_state(state)

    def _send_pending(self, socket: Socket) -> None:
        with self._changed:
            pending, self._pending = self._pending, {}
            if self._liveness.state(now_ns()) is LinkState.INCOMPATIBLE:
                pending = {kind: message for kind, message in pending.items() if kind == "hello"}
            for kind in list(pending):
                try:
                    socket.send(encode_client_message(pending[kind]), zmq.NOBLOCK)
                except zmq.Again:
                    self._pending = pending
                    return
                del pending[kind]

    def _drain(self, socket: Socket) -> float | None:
        for _ in range(MOST_WAITING):
            try:
                parts = receive_parts(socket, limit=1)
            except zmq.Again:
                return None
            self._held.heard(sum(map(len, parts)), payload=False)
            try:
                if len(parts) != 1:
                    raise MessageRejected("parts", f"a control message of {len(parts)} parts; one is right")
                message = decode_server_message(parts[0].bytes)
            except MessageRejected as error:
                pause_s = self._note_rejected(error)
                if pause_s is not None:
                    return pause_s
            else:
                with self._changed:
                    self._note(message)
        return self._note_flood()

    def _note(self, message: ServerMessage) -> None:
        now = now_ns()
        if isinstance(message, Refuse):
            self._last_refusal = message
            if message.code == "version":
                self._note_incompatible()
            else:
                self._liveness.good(now)
            return
        self._liveness.good(now)
        if isinstance(message, Welcome):
            self._info = message.info
            self._changed.notify_all()
            return
        self._round_trips_ns.append(now - message.t)
        if self._info is not None and message.ses != self._info.session:
            # The producer has restarted and knows neither this client nor its state.
            self._info = None
            self._repeat()

    def _note_refused(self, refusal: str) -> float:
        with self._changed:
            self._last_error = refusal
            pause_s = self._liveness.refused(now_ns())
        self._log.warn(refusal)
        return pause_s

    def _note_flood(self) -> float:
        text = f"{self.endpoint}: {MOST_WAITING} messages or more waited at once; reconnecting"
        with self._changed:
            self._last_error = text
            pause_s = self._liveness.flooded(now_ns())
        self._log.warn(text)
        return pause_s

    def _note_rejected(self, error: MessageRejected) -> float | None:
        with self._changed:
            self._bad[error.code] += 1
            self._last_error = str(error)
            if isinstance(error, ProtocolMismatch):
                self._note_incompatible()
                pause_s = None
            else:
                pause_s = self._liveness.bad(now_ns())
        self._log.warn(f"{self.endpoint}: dropped a message ({error.code}): {error}")
        return pause_s

    def _note_incompatible(self) -> None:
        self._liveness.incompatible()
        self._info = None
        self._pending = {}
        self._next_touch_ns = now_ns() + AFTER_REFUSAL_NS
