"""Limits that libzmq itself lacks: on connections, and on messages that never end.

libzmq counts whole messages. What it buffers of an unfinished message is outside every queue limit, and so
is the number of connections. The kernel knows both: how many bytes have arrived on a connection (`TCP_INFO`), and how
many of them are unread. What has arrived, less what was handed over as whole messages, is what libzmq holds.

Byte counts exist on Linux for TCP. Elsewhere, and for `ipc://`, only connections are counted.

A disconnected peer may reconnect at once and send as much again before the next check. So after a flood no newcomer is
admitted for a while, and not before the owner has read what the flood left: messages of a closed connection would be
attributed to the one that has its descriptor now. On Linux the kernel keeps newcomers waiting
before they have sent anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import random
import socket as sockets
import stat
import struct
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zmq

from .zmq_sockets import Socket

CHECK_MS: Final = 10  # between two checks of the connections
NEWCOMER_MS: Final = 1  # the same while one of them is new
NEW_S: Final = 0.5
IDLE_MS: Final = 250  # the same while there is none
LOOKS_APART: Final = 5.0  # times as long as the last check took, at least, but no longer than IDLE_MS
FORGIVEN_BYTES: Final = 128  # of a message: its frame, encryption, pings before it
TRIM_AFTER_S: Final = 1.0  # after closing a connection
STALLED_S: Final = 1.0  # without reading anything while something waits
MANY: Final = "connections"
UNFINISHED: Final = "unfinished"
STALLED: Final = "stalled"
REFUSED: Final = "refused"

CROWD: Final = 64  # this many excess connections within CROWD_S are a flood
CROWD_S: Final = 1.0
BEHIND_ROUNDS: Final = 2  # consecutive rounds of the owner that leave something unread
# A random time: kernels retry after a second, so with a fixed time the same peers would always come too early.
REFUSE_S: Final = (0.25, 0.75)

_MANY_PARTS_BYTES: Final = 256 * 1024
_MAY_GROW_BYTES: Final = 32 * 1024 * 1024  # a game loads other things at the same time
_EVENTS: Final = (
    zmq.Event.LISTENING
    | zmq.Event.ACCEPTED
    | zmq.Event.CLOSED
    | zmq.Event.DISCONNECTED
    | zmq.Event.MONITOR_STOPPED  # wakes the thread when it should end
)
_RESET: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
_EVENT: Final = struct.Struct("=HI")
_TCP_INFO: Final = 11  # on Linux, like the offsets
_ACKED_AT: Final = 120  # u64 bytes_acked, then u64 bytes_received
_NOT_SENT_AT: Final = 144
_TCP_INFO_BYTES: Final = 148
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_DROP_ALL: Final = struct.pack("=HBBI", 0x06, 0, 0, 0)  # the filter `return 0`: drop every packet


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what peers may take of a producer's socket.

    Attributes:
        connections: maximum; beyond it the least important one is closed.
        unfinished_bytes: of one connection, arrived but not handed over as whole messages.
        all_unfinished_bytes: the same for all connections together.
        stalled: connections that read nothing of what waits for them; each holds pictures in memory.
        unfinished_bytes_per_s: how fast `unfinished_bytes` of one connection may grow; None if only the sum matters.
    """

    connections: int
    unfinished_bytes: int
    all_unfinished_bytes: int
    stalled: int
    unfinished_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the kernel reports about a connection, in bytes since it was opened.

    Attributes:
        read: arrived and read by libzmq.
        acked: acknowledged by the peer.
        waits: not sent yet, because the peer takes no more.
    """

    read: int
    acked: int
    waits: int


def traffic_of(descriptor: int) -> Traffic | None:
    """Measure a connection; None if it is gone, or if the system or the kind of connection reports nothing."""
    if sys.platform != "linux":
        return None
    import fcntl
    import termios

    buffer = ctypes.create_string_buffer(_TCP_INFO_BYTES)
    length = ctypes.c_uint32(_TCP_INFO_BYTES)
    if _libc().getsockopt(descriptor, sockets.IPPROTO_TCP, _TCP_INFO, buffer, ctypes.byref(length)):
        return None
    if length.value < _TCP_INFO_BYTES:  # Linux before 4.6
        return None
    try:
        (unread,) = struct.unpack("=i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    except OSError:
        return None
    acked, arrived = struct.unpack_from("=QQ", buffer, _ACKED_AT)
    (waits,) = struct.unpack_from("=I", buffer, _NOT_SENT_AT)
    return Traffic(read=max(0, arrived - unread), acked=acked, waits=waits)


def identity_of(descriptor: int) -> int | None:
    """Tells a connection from a later one with the same descriptor; None if it is gone, 0 if unavailable."""
    if sys.platform == "win32":
        return 0
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


class UnfinishedMessage:
    """How many bytes of one connection libzmq buffers. Pure arithmetic."""

    def __init__(self, *, forgiven_bytes: int = FORGIVEN_BYTES) -> None:
        self._forgiven = forgiven_bytes
        self._taken = 0

    def after(self, read: int, delivered: int, messages: int) -> int:
        """Bytes buffered now.

        Args:
            read: bytes that libzmq has read since the connection was opened.
            delivered: bytes of whole messages handed over since the last call.
            messages: their number. A whole message proves that nothing before it is unfinished, so
                some bytes outside messages are forgiven with each.
        """
        self._taken = min(read, self._taken + delivered + messages * self._forgiven)
        return read - self._taken


@dataclass(slots=True)
class _Connection:
    descriptor: int
    identity: int
    since: float
    before: float  # when `unfinished_before` was
    heard: float = 0.0  # when the last whole message was handed over, 0 before the first
    delivered: int = 0
    messages: int = 0
    unfinished: int = 0
    unfinished_before: int = 0  # about a second ago
    acked: int = 0
    moved: float = 0.0  # when it last read something, or had nothing to read
    doomed: str = ""  # why it should be closed
    ending: bool = False
    balance: UnfinishedMessage = field(default_factory=UnfinishedMessage)


class ConnectionGuard:
    """Watches the connections of a producer's socket in a thread, so that a blocked loop is guarded too.

    Create it before the socket is bound; close it before the socket is closed. The owner of the socket reports every
    message (`heard`) and, if newcomers should wait while it is behind with reading, every round (`round_ended`).
    """

    def __init__(self, watched: Socket, limits: Limits, *, name: str, resets: bool = False) -> None:
        """Start watching.

        Args:
            watched: socket, not yet bound.
            limits: to enforce.
            name: of the thread.
            resets: whether closing the socket resets its connections, instead of closing them cleanly after sending
                what waits. A reset tells a client that is just shaking hands to come back.
        """
        self._resets = resets
        self._watched = watched
        self._limits = limits
        self._lock = threading.Lock()
        self._connections: dict[int, _Connection] = {}
        self._listener: tuple[int, int] | None = None  # its descriptor and identity
        self._places: set[str | int] = set()  # where connections are accepted: TCP ports, ipc paths
        # Messages handed over, for the thread to count. The owner never waits for it: that would cost it frames.
        self._news: deque[tuple[int, int, int, float]] = deque()
        self._hung_up: dict[str, int] = {}  # replaced, never changed, so that it may be read at any time
        self._trim_due = math.inf
        self._newest = -math.inf  # when the newest connection was opened
        self._crowd: deque[float] = deque(maxlen=CROWD)  # when excess connections were closed
        self._refuse_until = 0.0  # 0 while newcomers are admitted
        self._kept_out = False  # whether the kernel keeps newcomers waiting
        self._rounds_behind = 0  # used by the owner only
        self._stop = threading.Event()
        self._monitor: Socket = watched.get_monitor_socket(_EVENTS)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def hung_up(self) -> dict[str, int]:
        """Closed connections, by reason."""
        return dict(self._hung_up)

    @property
    def connection_count(self) -> int:
        """Current number of connections."""
        return len(self._connections)

    def heard(self, descriptor: int, size: int) -> None:
        """Note a whole message that was handed over.

        Args:
            descriptor: its origin (`zmq.SRCFD`).
            size: of its parts together, in bytes.
        """
        identity = identity_of(descriptor)
        if identity is not None:
            self._news.append((descriptor, identity, size, time.monotonic()))

    @property
    def owner_is_behind(self) -> bool:
        """Whether the owner's last round of reading left something."""
        return self._rounds_behind > 0

    def round_ended(self, *, all_read: bool) -> None:
        """Note whether the owner has read everything. While it is behind, no newcomer is admitted."""
        self._rounds_behind = 0 if all_read else self._rounds_behind + 1

    def hang_up(self, descriptor: int, reason: str) -> None:
        """Close a connection; libzmq frees what it buffers of it. The reason is counted."""
        with self._lock:
            connection = self._known(descriptor)
            if connection is not None:
                self._end(connection, reason)

    def trim_soon(self) -> None:
        """Return the memory of a flood to the system, but not after every connection."""
        self._trim_due = min(self._trim_due, time.monotonic() + TRIM_AFTER_S)

    def close(self) -> None:
        """Stop watching. Safe to call twice."""
        if not self._stop.is_set():
            self._stop.set()
            self._watched.disable_monitor()
            self._thread.join()

    # Everything below runs in the thread.

    def _run(self) -> None:
        looked, took = -math.inf, 0.0
        try:
            while not self._stop.is_set():
                came = self._monitor.poll(self._patience_ms())
                if came:
                    self._note_events()
                now = time.monotonic()
                # Checking many connections takes long, and the owner's frames come first.
                if now - looked >= max(self._patience_ms() / 1000, min(took * LOOKS_APART, IDLE_MS / 1000)):
                    with self._lock:
                        self._look(now)
                        self._make_room()
                        self._mind_the_door(now)
                    looked, took = now, time.monotonic() - now
                    if now >= self._trim_due:
                        self._trim_due = math.inf
                        _give_back_memory()
                elif len(self._connections) > self._limits.connections:
                    with self._lock:
                        self._make_room()
        finally:
            self._monitor.close()

    def _patience_ms(self) -> int:
        """Time until the next check of the connections. A flood gets as much through until then as it can send."""
        if not self._connections and not self._refuse_until:
            return IDLE_MS
        return NEWCOMER_MS if time.monotonic() < self._newest + NEW_S else CHECK_MS

    def _note_events(self) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                told, endpoint = self._monitor.recv_multipart(zmq.NOBLOCK)
                event, descriptor = _EVENT.unpack(told)
                with self._lock:
                    if event == zmq.Event.LISTENING:
                        self._listener = descriptor, identity_of(descriptor) or 0
                        self._places.add(_place_in(endpoint.decode(errors="replace")))
                        if self._resets:
                            _let_connections_reset(descriptor)
                    known = self._connections.get(descriptor)
                    if known is not None and not known.identity:  # otherwise `_here` finds out
                        del self._connections[descriptor]
                    if event == zmq.Event.ACCEPTED:
                        newcomer = self._known(descriptor)
                        if newcomer is not None and self._refuse_until:
                            self._end(newcomer, REFUSED)
                if event == zmq.Event.ACCEPTED and len(self._connections) > self._limits.connections:
                    return  # first make room

    def _known(self, descriptor: int, expected: int | None = None) -> _Connection | None:
        """Return a connection, noting it if it is new: its first message may arrive before the monitor's event.

        None if it is gone, or is no longer the one `expected`.
        """
        identity = identity_of(descriptor)
        if identity is None or expected not in (None, identity):
            return None
        connection = self._connections.get(descriptor)
        if connection is None or connection.identity != identity:
            now = time.monotonic()
            connection = self._connections[descriptor] = _Connection(
                descriptor, identity, since=now, before=now, moved=now
            )
            self._newest = now
        return connection

    def _look(self, now: float) -> None:
        """Measure every connection, and close those that buffer too much."""
        self._note_news()
        here = self._here()
        for connection in here:
            self._measure(connection, now)
            if connection.doomed:
                self._end(connection, connection.doomed)
            elif self._holds_back_too_much(connection):
                self._end(connection, UNFINISHED)
        by_weight = sorted(here, key=lambda connection: connection.unfinished, reverse=True)
        total = sum(connection.unfinished for connection in here)
        for connection in by_weight:
            if total <= self._limits.all_unfinished_bytes:
                break
            total -= connection.unfinished
            self._end(connection, UNFINISHED)
        stalled = [connection for connection in here if now - connection.moved > STALLED_S]
        stalled.sort(key=lambda connection: connection.moved)
        for connection in stalled[: max(0, len(stalled) - self._limits.stalled)]:
            self._end(connection, STALLED)

    def _holds_back_too_much(self, connection: _Connection) -> bool:
        most_per_s = self._limits.unfinished_bytes_per_s
        if most_per_s is not None and connection.unfinished - connection.unfinished_before > most_per_s:
            return True
        return connection.unfinished > self._limits.unfinished_bytes

    def _make_room(self) -> None:
        """Close the least important connections while there are too many."""
        self._note_news()
        here = self._here()
        excess = len(here) - self._limits.connections
        if excess > 0:
            # Silent ones go first, oldest first, so that newcomers have time to speak; then those that have
            # been silent for longest. Half of the places are for the longest-lived connections.
            spoken = sorted((one for one in here if one.heard), key=lambda one: one.since)
            kept = {one.descriptor for one in spoken[: self._limits.connections // 2]}
            here.sort(key=lambda one: (one.descriptor in kept, one.heard, one.since))
            for connection in here[:excess]:
                self._end(connection, MANY)

    def _here(self) -> list[_Connection]:
        """The open connections, less those closed before; forgets those that are gone."""
        for connection in list(self._connections.values()):
            if identity_of(connection.descriptor) != connection.identity:
                del self._connections[connection.descriptor]
        return [connection for connection in self._connections.values() if not connection.ending]

    def _note_news(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                descriptor, identity, size, when = self._news.popleft()
                connection = self._known(descriptor, identity)
                if connection is not None:
                    connection.heard = when
                    connection.delivered += size
                    connection.messages += 1

    def _measure(self, connection: _Connection, now: float) -> None:
        traffic = traffic_of(connection.descriptor)
        if traffic is None:
            return
        connection.unfinished = connection.balance.after(traffic.read, connection.delivered, connection.messages)
        connection.delivered = connection.messages = 0
        if connection.unfinished < connection.unfinished_before or now - connection.before > 1.0:
            connection.unfinished_before, connection.before = connection.unfinished, now
        if traffic.acked != connection.acked or not traffic.waits:
            connection.acked, connection.moved = traffic.acked, now

    def _end(self, connection: _Connection, reason: str) -> None:
        """Shut down a connection, and only this one: its descriptor may have been reused.

        The next check retries if it is not known yet whether it was accepted here.
        """
        if connection.ending:
            return
        connection.doomed = reason
        try:
            ours = sockets.dup(connection.descriptor)
        except OSError:  # it is gone
            return
        if identity_of(ours) != connection.identity or not stat.S_ISSOCK(os.fstat(ours).st_mode):
            os.close(ours)
            return
        with sockets.socket(fileno=ours) as same:
            if not self._accepted_here(same):
                return
            connection.ending = True
            self._hung_up = {**self._hung_up, reason: self._hung_up.get(reason, 0) + 1}
            self.trim_soon()
            self._consider_flood(reason, time.monotonic())
            with contextlib.suppress(OSError):  # it is closing already
                # Otherwise a peer whose buffers are full would be left waiting for a minute.
                same.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)
                same.shutdown(sockets.SHUT_RDWR)

    def _consider_flood(self, reason: str, now: float) -> None:
        if reason in (STALLED, REFUSED):
            return
        if reason == MANY:
            self._crowd.append(now)
            if len(self._crowd) < CROWD or now - self._crowd[0] >= CROWD_S:
                return
        self._shut_the_door(now)

    def _shut_the_door(self, now: float) -> None:
        if not self._refuse_until:
            self._kept_out = self._keep_out(True)
        self._refuse_until = now + random.uniform(*REFUSE_S)

    def _mind_the_door(self, now: float) -> None:
        """Refuse newcomers while the owner is behind; admit them once the time has come and it is not."""
        if not self._refuse_until:
            if self._rounds_behind >= BEHIND_ROUNDS:
                self._shut_the_door(now)
        elif now >= self._refuse_until and not self._rounds_behind:
            if self._kept_out and not self._keep_out(False):
                return  # out of descriptors, in a flood of connections; the next check retries
            self._refuse_until, self._kept_out = 0.0, False

    def _keep_out(self, on: bool) -> bool:
        """Make the kernel keep newcomers waiting, or admit them again. Their kernels retry by themselves.

        Where it cannot, they are closed as soon as the monitor reports them; so are those already accepted.

        Returns:
            whether the kernel took the setting.
        """
        if sys.platform != "linux" or self._listener is None:
            return False
        descriptor, identity = self._listener
        with contextlib.suppress(OSError), sockets.socket(fileno=sockets.dup(descriptor)) as same:
            if identity_of(same.fileno()) != identity:
                return not on  # it is closed: no newcomer can be admitted
            if same.family in (sockets.AF_INET, sockets.AF_INET6):
                if on:
                    program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
                    filter_ = struct.pack("@HP", 1, ctypes.addressof(program))
                    same.setsockopt(sockets.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
                else:
                    same.setsockopt(sockets.SOL_SOCKET, _SO_DETACH_FILTER, 0)
                return True
        return False

    def _accepted_here(self, same: sockets.socket) -> bool:
        """Whether a connection was accepted at an endpoint of the watched socket.

        Excludes the listening socket itself, without which libzmq aborts the process, and unrelated connections: an
        event may arrive when the descriptor has been reused.
        """
        try:
            listens = same.getsockopt(sockets.SOL_SOCKET, sockets.SO_ACCEPTCONN)
            return not listens and _place_of(same.getsockname()) in self._places
        except OSError:  # it is closing already
            return False


class ProducerWatch:
    """What libzmq buffers from the producer that a client is connected to. For the client's own thread.

    The producer may be hostile, too. The client asks after every read of its socket, and closes it if given a reason.
    """

    def __init__(self, *, first_bytes: int, spare_bytes: int, forgiven_bytes: int = FORGIVEN_BYTES) -> None:
        """Start without a connection.

        Args:
            first_bytes: that may be buffered before the first message with a payload, whose size is unknown.
            spare_bytes: that may be buffered afterwards, in addition to four messages as large as the largest.
            forgiven_bytes: per message, for those dropped after unsubscribing.
        """
        self._first_bytes = first_bytes
        self._spare_bytes = spare_bytes
        self._forgiven_bytes = forgiven_bytes
        self._descriptor: int | None = None
        self._balance = UnfinishedMessage(forgiven_bytes=forgiven_bytes)
        self._delivered = self._messages = 0  # since the last check
        self._largest: int | None = None  # message with a payload
        self._resident_before: int | None = None  # of this process, when a message began to be buffered

    @property
    def patience_ms(self) -> int:
        """How long the client may wait before the next check."""
        return IDLE_MS if self._descriptor is None else CHECK_MS

    def note(self, event: int, value: int) -> None:
        """Handle an event of the socket's monitor and its value."""
        if event == zmq.Event.CONNECTED:
            self._descriptor = value
            self._balance = UnfinishedMessage(forgiven_bytes=self._forgiven_bytes)
            self._delivered = self._messages = 0
            self._largest = self._resident_before = None
        elif event == zmq.Event.DISCONNECTED:
            self._descriptor = None

    def heard(self, size: int, *, payload: bool) -> None:
        """Note a whole message that was received.

        Args:
            size: of its parts together, in bytes.
            payload: whether it is of the kind that sets the limit.
        """
        self._delivered += size
        self._messages += 1
        self._resident_before = None
        if payload:
            self._largest = max(self._largest or 0, size)

    def flood(self, socket: Socket) -> str | None:
        """Why the connection should be closed; None if all is well."""
        if int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            return None  # while whole messages wait, the unfinished part is unknown
        traffic = None if self._descriptor is None else traffic_of(self._descriptor)
        if traffic is None:
            return None
        held = self._balance.after(traffic.read, self._delivered, self._messages)
        self._delivered = self._messages = 0
        limit = self._first_bytes if self._largest is None else self._spare_bytes + 4 * self._largest
        if held > limit:
            return f"a message of more than {limit} bytes that does not end"
        if held > _MANY_PARTS_BYTES and self._has_grown(held + _MAY_GROW_BYTES):
            return "a message of very many parts that does not end"
        return None

    def _has_grown(self, by: int) -> bool:
        """Whether memory use has grown since a message began to be buffered: an empty part of two bytes takes 64."""
        resident = _resident_bytes()
        if self._resident_before is None:
            self._resident_before = resident
        return resident - self._resident_before > by


def _let_connections_reset(listener: int) -> None:
    """Make connections accepted by a listening socket end with a reset. On Linux they inherit this from it."""
    with contextlib.suppress(OSError), sockets.socket(fileno=sockets.dup(listener)) as same:
        if same.getsockopt(sockets.SOL_SOCKET, sockets.SO_ACCEPTCONN):
            same.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)


def _place_in(endpoint: str) -> str | int:
    """The port of `tcp://HOST:PORT`, the path of `ipc://PATH`."""
    scheme, _, place = endpoint.partition("://")
    return int(place.rpartition(":")[2]) if scheme == "tcp" else place


def _place_of(address: Any) -> str | int:
    """The same of a socket's address."""
    if isinstance(address, tuple):
        return int(address[1])
    if isinstance(address, bytes):  # a Linux abstract name
        return "@" + address[1:].decode(errors="replace")
    return str(address)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def source_of(frame: zmq.Frame) -> int | None:
    """Descriptor that a part came from; None if there is none, as for events of a closed connection."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return None


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _give_back_memory() -> None:
    """Make the C library return memory freed after a flood; glibc keeps it otherwise."""
    if sys.platform == "linux" and hasattr(_libc(), "malloc_trim"):
        _libc().malloc_trim(0)
