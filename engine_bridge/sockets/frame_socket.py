"""The producer's socket of the frame channel, which several streams may share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, TypeAlias

import zmq

from engine_bridge.access.endpoints import DEFAULT_FRAMES_ENDPOINT
from engine_bridge.access.keys import ServerKeys
from engine_bridge.errors import WireError

from .encryption import door_of
from .guard import ConnectionGuard, Limits, identity_of, source_of
from .subscriptions import Subscriptions
from .zmq_sockets import FRAME_QUEUE, open_socket

GOODBYE_MS: Final = 100  # how long closing may wait for byes to leave
MAX_SUBSCRIPTION_BYTES: Final = 1024  # handshakes included
MAX_EVENTS_PER_POLL: Final = 256
MAX_EVENTS_WHEN_BEHIND: Final = 768  # the same when the last poll left some: newcomers wait behind a flood
RECEIVE_BUFFER_BYTES: Final = 2048  # kernel buffer; lets that much of a flood through before the guard checks again
SUBSCRIPTIONS: Final = "subscriptions"
LIMITS: Final = Limits(
    connections=128,
    unfinished_bytes=64 * 1024,  # a client that sends ZMTP heartbeats takes an hour to reach it
    all_unfinished_bytes=512 * 1024,
    stalled=8,
    unfinished_bytes_per_s=8 * 1024,  # everything a connection may subscribe to at once takes 3 KiB
)
SETTLE_S: Final = 0.01

MessagePart: TypeAlias = "bytes | memoryview | zmq.Frame"


class FrameSocket:
    """An XPUB socket that never blocks, and the subscriptions on it.

    One `Publisher` per stream sends through it; all of them and the socket belong to one thread. Close it after them.

    Attributes:
        endpoint: to connect to, with the actual port.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_FRAMES_ENDPOINT,
        *,
        keys: ServerKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """Bind the socket.

        Args:
            endpoint: on this machine only, unless there are keys; port 0 takes a free one.
            keys: admit only clients on their list, encrypted; None admits anyone on this machine.
            insecure: without keys, let other machines connect as well.

        Raises:
            WireError: the endpoint is taken, malformed, or without keys reachable from other machines.
        """
        self._subscriptions = Subscriptions(identity_of)
        self._listeners: list[Callable[[bytes], None]] = []
        self._door = door_of(keys, insecure=insecure)
        self._socket = open_socket(self._door.context, zmq.XPUB, queue=FRAME_QUEUE, max_bytes=MAX_SUBSCRIPTION_BYTES)
        self._socket.rcvbuf = RECEIVE_BUFFER_BYTES
        # Report every subscription that comes and goes, including repeated ones to the same topic.
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._guard = ConnectionGuard(self._socket, LIMITS, name="bunraku-frames-guard")
        try:
            self.endpoint = self._door.bind(self._socket, endpoint)
        except WireError:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._socket.closed

    @property
    def subscriptions(self) -> Mapping[bytes, int]:
        """Number of subscribed connections per topic prefix, as of the last `poll`."""
        return self._subscriptions.counts

    @property
    def subscriptions_version(self) -> int:
        """Changes whenever `subscriptions` does."""
        return self._subscriptions.version

    @property
    def connection_count(self) -> int:
        """Number of connections, subscribed or not."""
        return self._guard.connection_count

    @property
    def over_limits(self) -> dict[str, int]:
        """Closed connections, by the limit exceeded (docs/protocol.md)."""
        return self._guard.hung_up

    def on_subscription(self, listener: Callable[[bytes], None]) -> None:
        """Register a function that `poll` calls with the prefix of every new subscription."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[bytes], None]) -> None:
        """Unregister a function of `on_subscription`."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def poll(self) -> None:
        """Note who came and left. Never blocks, and reads a bounded number of events."""
        self._subscriptions.sweep()
        for _ in range(MAX_EVENTS_WHEN_BEHIND if self._guard.owner_is_behind else MAX_EVENTS_PER_POLL):
            try:
                event = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                self._guard.round_ended(all_read=True)
                return
            self._note(event.bytes, source_of(event))
        self._guard.round_ended(all_read=False)

    def send(self, parts: Sequence[MessagePart]) -> None:
        """Send a message to the subscribers of its topic that can take it now. Never blocks."""
        # XPUB drops what a full queue cannot take, so this neither blocks nor fails.
        for part in parts[:-1]:
            self._socket.send(part, zmq.NOBLOCK | zmq.SNDMORE)
        self._socket.send(parts[-1], zmq.NOBLOCK, copy=False)

    def settle(self) -> None:
        """Let full queues drain before a final message such as a bye.

        A subscriber whose queue was full is skipped until libzmq processes its commands again, which `poll` makes it
        do. One that reads at all has drained its queue of two long before this returns; no other is waited for.
        """
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            time.sleep(0.001)
            self.poll()

    def close(self) -> None:
        """Free the socket within a tenth of a second. Safe to call twice."""
        if not self._socket.closed:
            self._guard.close()
            self._socket.linger = GOODBYE_MS
            self._socket.close()
            self._door.close()

    def _note(self, event: bytes, source: int | None) -> None:
        kind, prefix = event[:1], event[1:]
        if source is None:
            self._subscriptions.somebody_left(prefix)
            return
        if identity_of(source) is None:  # gone, and may have left very many
            return
        self._guard.heard(source, len(event))
        if kind == b"\x01":
            good = self._subscriptions.add(source, prefix)
            for listener in self._listeners if good else ():
                listener(prefix)
        else:
            good = self._subscriptions.remove(source, prefix)
        if not good:
            self._guard.hang_up(source, SUBSCRIPTIONS)

    def __enter__(self) -> FrameSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
