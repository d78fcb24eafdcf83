"""The producer's socket of the frame channel, which several streams may share. Knows subscriptions, no frames."""

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
MAX_EVENTS_WHEN_BEHIND: Final = 768  # the same when the last poll left some: newcomers wait for what a flood has left
RECEIVE_BUFFER_BYTES: Final = 2048  # of the system; a flood gets as much through before the guard looks again
SUBSCRIPTIONS: Final = "subscriptions"
LIMITS: Final = Limits(
    connections=128,
    unfinished_bytes=64 * 1024,  # a client that sends ZMTP heartbeats takes an hour for it
    all_unfinished_bytes=512 * 1024,
    stalled=8,
    unfinished_bytes_per_s=8 * 1024,  # all that a connection may subscribe to at once takes 3 KiB
)
SETTLE_S: Final = 0.01

MessagePart: TypeAlias = "bytes | memoryview | zmq.Frame"


class FrameSocket:
    """An XPUB socket that never blocks, and who subscribes to what on it.

    One `Publisher` per stream sends through it; all of them and the socket belong to one thread. Close it after them.

    Attributes:
        endpoint: where to connect, with the port that was found.
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
            endpoint: of this machine only, unless there are keys; port 0 takes a free one.
            keys: talk to those on their list only, encrypted; None talks to everybody on this machine.
            insecure: without keys, let other machines connect as well.

        Raises:
            WireError: the endpoint is taken, malformed, or without keys reachable from other machines.
        """
        self._subscriptions = Subscriptions(identity_of)
        self._listeners: list[Callable[[bytes], None]] = []
        self._door = door_of(keys, insecure=insecure)
        self._socket = open_socket(self._door.context, zmq.XPUB, queue=FRAME_QUEUE, max_bytes=MAX_SUBSCRIPTION_BYTES)
        self._socket.rcvbuf = RECEIVE_BUFFER_BYTES
        # Tell about every subscription that comes and goes, also about the second one to the same topic.
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._guard = ConnectionGuard(self._socket, LIMITS, name="bunraku-frames-guard")
        try:
            self.endpoint = self._door.bind(self._socket, endpoint)
        except WireError:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._socket.closed

    @property
    def subscriptions(self) -> Mapping[bytes, int]:
        """How many connections subscribe to every prefix of a topic, as of the last `poll`."""
        return self._subscriptions.counts

    @property
    def subscriptions_version(self) -> int:
        """Changes whenever `subscriptions` does."""
        return self._subscriptions.version

    @property
    def connection_count(self) -> int:
        """How many connections there are, subscribed or not."""
        return self._guard.connection_count

    @property
    def over_limits(self) -> dict[str, int]:
        """Connections hung up on, by the limit that they broke (docs/protocol.md)."""
        return self._guard.hung_up

    def on_subscription(self, listener: Callable[[bytes], None]) -> None:
        """Have a function called in `poll` with the prefix of every subscription that comes."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[bytes], None]) -> None:
        """Call a function of `on_subscription` no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def poll(self) -> None:
        """Note who came and went. Never blocks, and reads a bounded number of events."""
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
        """Send a message to who subscribes to its topic and can take it now. Never blocks."""
        # XPUB drops what a subscriber's queue cannot take, so this neither blocks nor fails.
        for part in parts[:-1]:
            self._socket.send(part, zmq.NOBLOCK | zmq.SNDMORE)
        self._socket.send(parts[-1], zmq.NOBLOCK, copy=False)

    def settle(self) -> None:
        """Let queues that are full be emptied, before a message that nothing follows, such as a bye.

        A subscriber whose queue was full once is left out until libzmq looks at its news again, which `poll` makes it
        do. One that reads at all has emptied its queue of two long before this returns; no other is waited for.
        """
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            time.sleep(0.001)
            self.poll()

    def close(self) -> None:
        """Free the socket within a tenth of a second; a second call does nothing."""
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
