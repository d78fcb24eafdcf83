"""The client side of the frame channel: a thread that always drains the socket, so that the newest frame wins."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final

import msgspec
import numpy as np
import zmq

from engine_bridge.access.endpoints import DEFAULT_FRAMES_ENDPOINT, as_reached, check_connect, is_for_this_machine
from engine_bridge.access.keys import ClientKeys
from engine_bridge.avf.messages import ClientStats, LinkState, LiveStats, Provenance
from engine_bridge.avf.planes import RAW, VARIANTS
from engine_bridge.avf.ring import RingCache
from engine_bridge.avf.wire import (
    MAJOR,
    MAX_PARTS,
    MAX_TOPIC_BYTES,
    MIN_PARTS,
    TOPIC_FAMILY,
    Bye,
    FrameMessage,
    Heartbeat,
    Message,
    Topic,
    decode,
    split_topic,
    topic_of,
    topic_prefix,
)
from engine_bridge.clock import age_ns, now_ns, unix_offset_ns
from engine_bridge.errors import FrameOvertaken, MessageRejected, ProtocolMismatch, WireError
from engine_bridge.frame import Frame
from engine_bridge.sockets.encryption import use_client_keys
from engine_bridge.sockets.guard import ProducerWatch
from engine_bridge.sockets.handshake import HandshakeJudge, HandshakeWatch
from engine_bridge.sockets.zmq_sockets import (
    FRAME_QUEUE,
    MAX_FRAME_BYTES,
    OncePerSecond,
    Socket,
    SocketThread,
    connect,
    open_socket,
    receive_parts,
)

from .liveness import STALE_AFTER_NS, FrameOrder, Liveness, Patience

logger = logging.getLogger(__name__)

SPARE_BYTES: Final = 8 * 1024 * 1024  # that libzmq may buffer in addition to frames
MOST_WAITING: Final = 4096  # messages; more at once is a flood, or a minute of unread frames
MOST_DECODED: Final = 32  # newest waiting frames decoded per topic
AGES_KEPT: Final = 1024
_OTHERS_KEPT: Final = 8


class SubscriberStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber has seen since its creation.

    Attributes:
        received: new frames.
        shown: frames taken by `latest` or `wait`.
        skipped: frames superseded before they were taken, here or in shared memory.
        late: frames that were not new (resent for a late joiner, or out of order).
        missed: frames that never arrived, counted from gaps in the numbers.
        bad: rejected messages by code.
        reconnects: new connections after too many bad messages, or a flood of any kind.
        age_arrival_ms_p50: median time from publishing to arrival, of the last 1024 frames; None before the first.
        age_arrival_ms_p99: its 99th percentile.
        age_take_ms_p50: median time from publishing to being taken; None before the first.
        age_take_ms_p99: its 99th percentile.
    """

    received: int
    shown: int
    skipped: int
    late: int
    missed: int
    bad: dict[str, int]
    reconnects: int
    age_arrival_ms_p50: float | None
    age_arrival_ms_p99: float | None
    age_take_ms_p50: float | None
    age_take_ms_p99: float | None


class Subscriber:
    """Receives one stream and keeps its newest frame.

    Start it before or after the producer, and restart either at any time. Nothing here raises because of received data;
    see `state`, `last_error` and `statistics`.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_FRAMES_ENDPOINT,
        *,
        stream: str | None = None,
        variant: str | None = None,
        keys: ClientKeys | None = None,
    ) -> None:
        """Connect now, or when the producer appears.

        Args:
            endpoint: of the producer's frame channel.
            stream: name of the stream; None takes the first one heard, and another only when that one is gone.
            variant: pixel transport: `raw`, `lz4`, `jpeg` or `shm`; None takes shared memory if the
                producer offers it and it can be opened, otherwise raw.
            keys: for a producer that has keys.

        Raises:
            WireError: the endpoint, the name or the variant is malformed.
        """
        self._keys = keys
        self.endpoint = check_connect(endpoint)
        if variant is not None and variant not in VARIANTS:
            raise WireError(f"{variant!r} is not a variant of a stream. Use one of {', '.join(VARIANTS)}, or None")
        self._wanted_stream = stream
        if stream is not None:
            topic_of(stream)
        self._wanted_variant = variant
        self._may_change = variant is None and is_for_this_machine(self.endpoint)
        self._refused_ring = ""  # offered, but unreadable
        self._rings = RingCache()
        self._probing = False  # whether topics of all major versions are subscribed
        self._others: set[str] = set()  # streams that the producer plays, while ours is not among them
        self._version_is_ours = False  # whether any stream of our version has been heard since the wanted one was

        # Everything below is shared with the thread and guarded by the lock inside the condition.
        self._changed = threading.Condition()
        self._liveness = Liveness()
        self._patience = Patience()  # used by the thread only
        self._order = FrameOrder()
        self._stream = stream
        self._variant = variant or RAW
        self._newest: FrameMessage | None = None
        self._heartbeat: Heartbeat | None = None
        self._provenance: Provenance | None = None
        self._producer_offset_ns: int | None = None
        self._received = self._shown = self._skipped = 0
        self._bad: Counter[str] = Counter()
        self._last_error = ""
        self._ages_at_arrival: deque[int] = deque(maxlen=AGES_KEPT)
        self._ages_at_take: deque[int] = deque(maxlen=AGES_KEPT)
        self._ages_to_report: deque[int] = deque(maxlen=AGES_KEPT)

        self._judge = HandshakeJudge(self.endpoint, keys)
        self._log = OncePerSecond(logger)
        self._thread = SocketThread("bunraku-subscriber", self._run)

    def latest(self) -> Frame | None:
        """Return the newest frame, or None if nothing is newer than the frame taken before.

        Its pixels are read-only and stay valid for as long as you hold them.
        """
        with self._changed:
            return self._take()

    def wait(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, waiting for it if necessary; None if none arrived in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, timeout_s)
            return self._take()

    @property
    def state(self) -> LinkState:
        """State of the link."""
        with self._changed:
            if self._thread.failure is not None:
                return LinkState.ERROR
            return self._liveness.state(now_ns())

    @property
    def stream(self) -> str | None:
        """Name of the received stream, None until one is heard."""
        with self._changed:
            return self._stream

    @property
    def variant(self) -> str:
        """Current pixel transport."""
        with self._changed:
            return self._variant

    @property
    def session(self) -> int | None:
        """The producer's session, None until heard. A new one means that the producer restarted."""
        with self._changed:
            return self._order.session

    @property
    def stats(self) -> LiveStats | None:
        """The producer's live-loop statistics, from its last heartbeat."""
        with self._changed:
            return self._heartbeat.stats if self._heartbeat else None

    @property
    def provenance(self) -> Provenance | None:
        """Provenance of the pictures, None until received."""
        with self._changed:
            return self._provenance

    @property
    def control_endpoint(self) -> str | None:
        """Endpoint of the producer's control channel, as reached from here; None if not received yet."""
        with self._changed:
            told = self._heartbeat.control_endpoint if self._heartbeat else ""
        return as_reached(told, self.endpoint) or None

    @property
    def last_error(self) -> str:
        """Why the last message was rejected or the connection refused; empty if neither happened."""
        with self._changed:
            return self._last_error

    @property
    def statistics(self) -> SubscriberStatistics:
        """Counts and ages since the start."""
        with self._changed:
            arrival = _percentiles_ms(self._ages_at_arrival)
            take = _percentiles_ms(self._ages_at_take)
            return SubscriberStatistics(
                received=self._received,
                shown=self._shown,
                skipped=self._skipped,
                late=self._order.late,
                missed=self._order.missed,
                bad=dict(self._bad),
                reconnects=self._liveness.reconnects,
                age_arrival_ms_p50=arrival[0],
                age_arrival_ms_p99=arrival[1],
                age_take_ms_p50=take[0],
                age_take_ms_p99=take[1],
            )

    def report(self) -> ClientStats:
        """Report due to the producer once per second; the ages are of the frames taken since the last report."""
        with self._changed:
            p50_ms, p99_ms = _percentiles_ms(self._ages_to_report)
            self._ages_to_report.clear()
            return ClientStats(
                shown=self._shown,
                dropped=self._skipped + self._order.missed,
                age_p50_ms=p50_ms or 0.0,
                age_p99_ms=p99_ms or 0.0,
            )

    def close(self) -> None:
        """Stop receiving within milliseconds, with or without a producer."""
        self._thread.close()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> Frame | None:
        message, self._newest = self._newest, None
        if message is None:
            return None
        self._shown += 1
        self._note_age(message, self._ages_at_take, self._ages_to_report)
        return message.frame

    def _note_age(self, message: FrameMessage, *notebooks: deque[int]) -> None:
        if message.frame.publish_ns:
            age = age_ns(
                message.frame.publish_ns,
                now_ns=now_ns(),
                producer_offset_ns=self._producer_offset_ns,
                own_offset_ns=unix_offset_ns(),
            )
            for ages in notebooks:
                ages.append(age)

    # Everything below runs in the thread.

    def _run(self, thread: SocketThread) -> None:
        with self._rings:
            while not thread.stopping:
                socket = open_socket(thread.context, zmq.SUB, queue=FRAME_QUEUE, max_bytes=MAX_FRAME_BYTES)
                use_client_keys(socket, self._keys)
                watch = HandshakeWatch(socket)
                try:
                    pause_s = self._receive(thread, socket, watch)
                finally:
                    watch.close()
                    socket.close()
                thread.rest(pause_s)

    def _receive(self, thread: SocketThread, socket: Socket, watch: HandshakeWatch) -> float:
        """Receive until the connection is hopeless or the thread should stop; return the seconds to pause."""
        self._topics = [self._topic_now()]
        self._heard_variant = ""
        socket.subscribe(self._topics[0])
        connect(socket, self.endpoint)
        self._probing = False
        self._held = ProducerWatch(
            first_bytes=MAX_FRAME_BYTES + SPARE_BYTES, spare_bytes=SPARE_BYTES, forgiven_bytes=SPARE_BYTES // 8
        )
        opened_ns = now_ns()
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(watch.socket, zmq.POLLIN)
        poller.register(thread.alarm, zmq.POLLIN)
        while not thread.stopping:
            self._look_after_silence(socket, may_probe=now_ns() - opened_ns >= STALE_AFTER_NS)
            events = dict(poller.poll(self._held.patience_ms))
            for event in watch.events():
                self._held.note(*event)
                refusal = self._judge.refusal_in(*event)
                if refusal is not None:
                    return self._note_refused(refusal)
            if socket in events:
                self._patience.heard()
                pause_s = self._drain(socket)
                if pause_s is not None:
                    return pause_s
            if self._patience.is_over(now_ns()):
                return 0.0
            flood = self._held.flood(socket)
            if flood is not None:
                return self._note_refused(f"{self.endpoint} sends {flood}; the connection was closed")
            self._follow_variant(socket)
        return 0.0

    def _topic_now(self) -> bytes:
        """Prefixes to subscribe to: all streams until one is known, except in a variant switched to."""
        stream = self._wanted_stream if self._variant == (self._wanted_variant or RAW) else self._stream
        return topic_prefix(self._variant) if stream is None else topic_of(stream, self._variant)

    def _follow_variant(self, socket: Socket) -> None:
        """Subscribe as decided; drop old subscriptions only once something arrives, so as not to go dark."""
        topic = self._topic_now()
        if topic not in self._topics:
            self._topics.append(topic)
            self._heard_variant = ""
            socket.subscribe(topic)
        if len(self._topics) > 1 and self._heard_variant == self._variant:
            for left in self._topics:
                if left != topic:
                    socket.unsubscribe(left)
            self._topics = [topic]

    def _look_after_silence(self, socket: Socket, *, may_probe: bool) -> None:
        """While nothing is heard, fall back to raw and listen to all versions, to tell a wrong version from silence.

        Only until anything is heard: the producer counts every listener as a viewer. And not at
        once: a running producer answers with one message per topic, more than its queue for us holds.
        """
        with self._changed:
            state = self._liveness.state(now_ns())
            lost = state is LinkState.LOST
            if lost or state is LinkState.STALE:
                self._variant = self._wanted_variant or RAW
            if lost:
                self._stream = self._wanted_stream
        probe = lost and may_probe and not self._version_is_ours
        if probe and not self._probing:
            socket.subscribe(TOPIC_FAMILY)
        elif self._probing and not probe:
            socket.unsubscribe(TOPIC_FAMILY)
        self._probing = probe

    def _drain(self, socket: Socket) -> float | None:
        """Read everything waiting; keep the newest frame. Returns a pause to make if the connection is hopeless."""
        waiting = self._read_all(socket)
        if len(waiting) >= MOST_WAITING:
            return self._note_flood()
        newest: FrameMessage | None = None
        pause_s: float | None = None
        for parts, overtaken in _with_overtaken(waiting):
            try:
                message = self._decode(parts, overtaken=overtaken)
            except FrameOvertaken as error:
                with self._changed:
                    self._liveness.good(now_ns())
                    news = self._order.is_news(error.session, error.frame_id)
                    self._received += news
                    self._skipped += news
                continue
            except MessageRejected as error:
                pause_s = self._note_rejected(error)
                if pause_s is not None:
                    break
                continue
            if message is not None:
                newest = self._note(message, newest)
        if newest is not None:
            with self._changed:
                self._skipped += self._newest is not None
                self._newest = newest
                self._changed.notify_all()
        return pause_s

    def _read_all(self, socket: Socket) -> list[list[memoryview]]:
        """Waiting messages, but at a time no more bytes than the largest frame and one message."""
        waiting: list[list[memoryview]] = []
        size = 0
        with contextlib.suppress(zmq.Again):
            while len(waiting) < MOST_WAITING and size < MAX_FRAME_BYTES:
                parts = [part.buffer for part in receive_parts(socket, limit=MAX_PARTS)]
                came = sum(part.nbytes for part in parts)
                self._held.heard(came, payload=len(parts) > MIN_PARTS)
                size += came
                waiting.append(parts)
        return waiting

    def _decode(self, parts: list[memoryview], *, overtaken: bool) -> Message | None:
        """Decode a message; None if its stream or variant is not wanted."""
        if parts:
            topic = split_topic(parts[0])
            if topic.major == MAJOR and not self._is_wanted(topic):
                self._version_is_ours = True
                return None
            self._heard_variant = topic.variant
        return decode(parts, self._rings, overtaken=overtaken)

    def _is_wanted(self, topic: Topic) -> bool:
        variants = (RAW, "shm") if self._wanted_variant is None else (self._wanted_variant,)
        if self._stream is not None and topic.stream != self._stream:
            self._note_other(topic.stream)
            return False
        if topic.variant not in variants:
            if self._wanted_variant is not None and topic.variant == RAW:
                self._say_why_silent()
            return False
        return True

    def _note_other(self, stream: str) -> None:
        """Report that the producer is up and plays other streams: the name is probably misspelt."""
        with self._changed:
            if self._liveness.state(now_ns()) is LinkState.LOST and len(self._others) < _OTHERS_KEPT:
                self._others.add(stream)
                playing = ", ".join(sorted(self._others))
                self._last_error = f"There is no stream {self._stream} at {self.endpoint}; it plays {playing}"

    def _say_why_silent(self) -> None:
        with self._changed:
            self._last_error = (
                f"{self.endpoint} is up but sends nothing in the variant {self._wanted_variant!r}. "
                "Leave the variant out to take what it has"
            )

    def _note(self, message: Message, newest: FrameMessage | None) -> FrameMessage | None:
        """Apply a good message; return the newest frame so far."""
        self._version_is_ours = False
        with self._changed:
            if self._others:
                self._others.clear()
                self._last_error = ""
            if isinstance(message, Bye):
                if message.session == self._order.session:
                    self._liveness.bye()
                return newest
            if isinstance(message, Heartbeat):
                self._stream = message.stream
                self._order.is_new_session(message.session)
                self._liveness.heartbeat(now_ns())
                self._heartbeat = message
                self._consider(message)
                self._provenance = message.provenance or self._provenance
                self._producer_offset_ns = message.unix_offset_ns
                return newest
            self._stream = message.frame.stream
            self._liveness.good(now_ns())
            self._provenance = message.provenance or self._provenance
            if not self._order.is_news(message.frame.session, message.frame.frame_id):
                return newest
            self._received += 1
            self._skipped += newest is not None
            self._note_age(message, self._ages_at_arrival)
            return message

    def _consider(self, heartbeat: Heartbeat) -> None:
        """Switch to shared memory when it is offered and can be opened, and back when it no longer is."""
        if self._may_change and self._variant == "shm" and "shm" not in heartbeat.variants:
            self._variant = RAW
        offered = self._may_change and "shm" in heartbeat.variants and heartbeat.ring not in ("", self._refused_ring)
        if offered and self._variant == RAW:
            try:
                self._rings.open(heartbeat.ring)
                self._variant = "shm"
            except MessageRejected as error:
                self._refused_ring = heartbeat.ring
                logger.info("%s: pixels travel over the socket: %s", self.endpoint, error)

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
                self._liveness.incompatible()
                pause_s = None
            else:
                pause_s = self._liveness.bad(now_ns())
            if error.code == "shm" and self._wanted_variant is None:
                self._variant = RAW
                self._refused_ring = self._heartbeat.ring if self._heartbeat else ""
        self._log.warn(f"{self.endpoint}: dropped a message ({error.code}): {error}")
        return pause_s


def _with_overtaken(waiting: list[list[memoryview]]) -> Iterator[tuple[list[memoryview], bool]]:
    """Pair each message with whether so many newer ones wait under its topic that its frame need not be decoded."""
    topics = [bytes(parts[0][:MAX_TOPIC_BYTES]) for parts in waiting]
    left = Counter(topics)
    for parts, topic in zip(waiting, topics, strict=True):
        yield parts, left[topic] > MOST_DECODED
        left[topic] -= 1


def _percentiles_ms(ages_ns: Iterable[int]) -> tuple[float | None, float | None]:
    values = np.fromiter(ages_ns, np.float64)
    if not values.size:
        return None, None
    p50, p99 = np.percentile(values, [50, 99]) / 1e6
    return round(float(p50), 3), round(float(p99), 3)
