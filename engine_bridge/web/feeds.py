"""The ZeroMQ side of the relay: frames in, controls out and in. Knows message parts; looks into heartbeats only.

Everything runs in the relay's event loop. A socket's file descriptor tells only that something may have changed, and
only once: so whoever sends on a socket also drains it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import zmq

from engine_bridge.access.keys import ClientKeys
from engine_bridge.avf.packing import MAX_BYTES, unpack
from engine_bridge.avf.planes import Part
from engine_bridge.avf.wire import MAX_PARTS, TOPIC_FAMILY
from engine_bridge.client.liveness import Patience
from engine_bridge.clock import now_ns
from engine_bridge.errors import MessageRejected, WireError
from engine_bridge.sockets.encryption import use_client_keys
from engine_bridge.sockets.zmq_sockets import (
    CONTROL_QUEUE,
    FRAME_QUEUE,
    MAX_CONTROL_BYTES,
    MAX_FRAME_BYTES,
    Context,
    Socket,
    connect,
    open_socket,
    receive_parts,
)

OTHER_VERSION_AFTER_NS: Final = 1_500_000_000  # of silence
OTHER_STREAM_AFTER_NS: Final = 5_000_000_000
MESSAGES_AT_ONCE: Final = 32  # then the browsers have their turn
MOST_WAITING: Final = 4096  # messages read without coming to an end of them

_LENGTH = struct.Struct("<I")


def pack_parts(parts: Iterable[Part]) -> bytes:
    """Put message parts into one binary message: u8 how many, u32 length of each, the parts."""
    held = [memoryview(part) for part in parts]
    return b"".join([bytes([len(held)]), *(_LENGTH.pack(part.nbytes) for part in held), *held])


def unpack_part(message: bytes) -> bytes | None:
    """The part of a message of one part; None if the message is no such."""
    if len(message) < 5 or message[0] != 1 or _LENGTH.unpack_from(message, 1)[0] != len(message) - 5:
        return None
    return message[5:]


class Drained:
    """A socket whose messages are handed over as they come. Silence or a flood makes it a new one.

    Attributes:
        socket: for sending and subscribing; call `drain` afterwards.
    """

    def __init__(self, open_: Callable[[], Socket], take: Callable[[list[zmq.Frame]], None], *, limit: int) -> None:
        """Watch the socket from the running event loop.

        Args:
            open_: makes a socket, connected, with all its subscriptions; closed by `close`.
            take: called with the parts of every message.
            limit: parts kept of a message, and one more to tell that it had more.
        """
        self._open = open_
        self._take = take
        self._limit = limit
        self._patience = Patience()
        self._in_a_row = 0  # messages, without an end of what waits
        self._loop = asyncio.get_running_loop()
        self._watch()

    def look_around(self) -> None:
        """To be called now and then while something should come: after a long silence, connect again."""
        if self._patience.is_over(now_ns()):
            self._renew()

    def drain_soon(self) -> None:
        """Drain when the present callback is done."""
        self._loop.call_soon(self.drain)

    def drain(self) -> None:
        """Hand over what waits, but let others have their turn."""
        for _ in range(MESSAGES_AT_ONCE):
            if self.socket.closed:
                return
            try:
                parts = receive_parts(self.socket, limit=self._limit)
            except zmq.Again:
                self._in_a_row = 0
                return
            self._patience.heard()
            self._in_a_row += 1
            self._take(parts)
        if self._in_a_row >= MOST_WAITING:
            self._renew()
        self.drain_soon()

    def close(self) -> None:
        """Let go of the socket and close it."""
        self._loop.remove_reader(self._descriptor)
        self.socket.close()

    def _watch(self) -> None:
        self.socket = self._open()
        self._descriptor = int(self.socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._descriptor, self.drain)
        self.drain_soon()

    def _renew(self) -> None:
        self._in_a_row = 0
        self.close()
        self._watch()


class Feed:
    """One subscription, shared by all pages that watch the same stream in the same variant.

    Attributes:
        number: of the newest frame held, counted by this feed; 0 before the first.
    """

    def __init__(
        self,
        context: Context,
        endpoint: str,
        *,
        keys: ClientKeys | None,
        prefix: bytes,
        whole: bool,
        tell: Callable[[bytes], None],
        news: Callable[[], None],
        control_told: Callable[[str], None],
    ) -> None:
        """Connect and subscribe.

        Args:
            context: of the sockets.
            endpoint: of the producer's frame channel.
            keys: for a producer that has keys.
            prefix: topic wanted, or what it begins with.
            whole: whether the prefix is the whole topic; if not, the first stream heard is kept.
            tell: called with a packed heartbeat, bye or message of another version, for all pages.
            news: called when a frame has come.
            control_told: called with the control endpoint that a heartbeat names.
        """
        self.number = 0
        self._context = context
        self._endpoint = endpoint
        self._keys = keys
        self._prefix = prefix
        self._whole = whole
        self._tell = tell
        self._news = news
        self._control_told = control_told
        self._topic = prefix if whole else b""
        self._newest: list[zmq.Frame] | None = None
        self._packed: bytes | None = None
        self._heard_ns = now_ns()
        self._awake = False
        self._probing = False
        self._drained = Drained(self._open, self._take, limit=MAX_PARTS)
        self.wake()

    def newest(self) -> bytes | None:
        """The newest frame as one binary message, packed when it is first asked for."""
        if self._packed is None and self._newest is not None:
            self._packed = pack_parts(part.buffer for part in self._newest)
        return self._packed

    def wake(self) -> None:
        """Subscribe, if that is not so already: somebody watches."""
        if not self._awake:
            self._awake = True
            self._heard_ns = now_ns()
            self._drained.socket.subscribe(self._prefix)
            self._drained.drain_soon()

    def sleep(self) -> None:
        """Unsubscribe: nobody watches, so the producer need not render."""
        if self._awake:
            self._awake = False
            self._drained.socket.unsubscribe(self._prefix)
            self._probe(False)
            self._forget()

    def look_around(self) -> None:
        """To be called now and then: after a long silence, listen to all versions and take any stream."""
        if self._awake:
            self._drained.look_around()
        silent_ns = now_ns() - self._heard_ns
        if self._awake and silent_ns >= OTHER_VERSION_AFTER_NS:
            self._probe(True)
        if not self._whole and silent_ns >= OTHER_STREAM_AFTER_NS:
            self._topic = b""

    def close(self) -> None:
        """Close the socket."""
        self._drained.close()

    def _open(self) -> Socket:
        socket = open_socket(self._context, zmq.SUB, queue=FRAME_QUEUE, max_bytes=MAX_FRAME_BYTES)
        use_client_keys(socket, self._keys)
        if self._awake:
            socket.subscribe(self._prefix)
        if self._probing:
            socket.subscribe(TOPIC_FAMILY)
        connect(socket, self._endpoint)
        return socket

    def _probe(self, on: bool) -> None:
        if on != self._probing:
            self._probing = on
            (self._drained.socket.subscribe if on else self._drained.socket.unsubscribe)(TOPIC_FAMILY)
            self._drained.drain_soon()

    def _take(self, parts: list[zmq.Frame]) -> None:
        topic = parts[0].bytes
        if not self._awake:
            return
        if not topic.startswith(self._prefix):
            # The probe's catch. Whether it is another version, the page decides, by the topic alone.
            self._tell(pack_parts([topic[:MAX_BYTES], b""]))
            self._probe(False)
            self._heard_ns = now_ns()
            return
        if self._topic not in (b"", topic):
            return
        self._topic = topic
        self._heard_ns = now_ns()
        self._probe(False)
        if len(parts) > 2:
            self._newest, self._packed = parts, None
            self.number += 1
            self._news()
        elif sum(len(part) for part in parts) <= 2 * MAX_BYTES:
            self._note(parts)
            self._tell(pack_parts(part.buffer for part in parts))

    def _note(self, parts: list[zmq.Frame]) -> None:
        """Learn from a heartbeat where controls go; after a bye, send no frame of that producer."""
        header: dict[str, Any] = {}
        if len(parts) == 2:
            with contextlib.suppress(MessageRejected):  # the page counts it
                header = unpack(parts[1].buffer)
        if header.get("k") == "b":
            self._forget()
        elif header.get("k") == "h" and isinstance(header.get("ctl"), str):
            self._control_told(header["ctl"])

    def _forget(self) -> None:
        self._newest = self._packed = None


class ControlLink:
    """One page's own connection to the control channel, so that it is numbered and answered apart from the others."""

    def __init__(self, context: Context, endpoint: str, keys: ClientKeys | None, tell: Callable[[bytes], None]) -> None:
        """Connect.

        Args:
            context: of the socket.
            endpoint: of the producer's control channel.
            keys: for a producer that has keys.
            tell: called with every packed answer.

        Raises:
            WireError: the endpoint is malformed.
        """
        self.endpoint = endpoint
        self._context = context
        self._keys = keys
        self._tell = tell
        self._drained = Drained(self._open, self._take, limit=1)

    def look_around(self) -> None:
        """To be called now and then while the page is there, which pings: after a long silence, connect again."""
        self._drained.look_around()

    def send(self, part: bytes) -> None:
        """Send now or not at all; the page repeats what matters."""
        with contextlib.suppress(zmq.Again):
            self._drained.socket.send(part, zmq.NOBLOCK)
        self._drained.drain_soon()

    def close(self) -> None:
        """Close the socket."""
        self._drained.close()

    def _open(self) -> Socket:
        socket = open_socket(self._context, zmq.DEALER, queue=CONTROL_QUEUE, max_bytes=MAX_CONTROL_BYTES)
        use_client_keys(socket, self._keys)
        socket.immediate = True  # queue nothing while nobody is connected: it would only grow old
        try:
            connect(socket, self.endpoint)
        except WireError:
            socket.close()
            raise
        return socket

    def _take(self, parts: list[zmq.Frame]) -> None:
        if sum(len(part) for part in parts) <= 2 * MAX_BYTES:
            self._tell(pack_parts(part.buffer for part in parts))
