"""Client messages not handled yet: bounded in number, bytes and time, and fair.

The live loop gives control messages a slice of every round. Reading and handling stop when it is used up. The client
that has used least of it lately comes first, so that one that floods waits behind those that do not.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import zmq

from engine_bridge.avf.packing import MAX_BYTES
from engine_bridge.clock import now_ns

from .guard import ConnectionGuard, source_of
from .zmq_sockets import Socket

MAX_SENDERS: Final = 128  # with messages waiting
MESSAGES_PER_POLL: Final = 64  # handed over; more are read
BEHIND_POLLS: Final = 2  # consecutive polls that leave messages over; then a poll may read for longer
READ_NS: Final = 1_000_000  # of one poll
CATCH_UP_NS: Final = 3_000_000  # of one poll, when behind
HANDLE_NS: Final = 1_000_000  # of one poll
MAX_WAITING: Final = 256  # messages of one client; the oldest is lost
MAX_WAITING_BYTES: Final = 256 * 1024  # of one client; the oldest is lost
MAX_PARTS: Final = 1024  # of one message, which should have one; a client that sends more is disconnected
PARTS: Final = "parts"
OVERRUN: Final = "control_messages"

_HALF_LIFE_NS: Final = 500_000_000  # of what a client has used up
_KEPT: Final = 2  # parts of a message, beside the address: one, and one to show that there were more


@dataclass(slots=True)
class _Sender:
    waiting: deque[list[bytes]] = field(default_factory=deque)
    waiting_bytes: int = 0
    used_ns: float = 0.0  # of handling, decaying
    as_of_ns: int = 0

    def used(self, now: int) -> float:
        return self.used_ns * math.pow(2.0, (self.as_of_ns - now) / _HALF_LIFE_NS)


class ControlInbox:
    """Reads a ROUTER socket for the live loop.

    Attributes:
        lost: messages that were never handled, by reason.
        full_polls: consecutive polls that left messages over.
    """

    def __init__(self, socket: Socket, guard: ConnectionGuard) -> None:
        """Take over reading.

        Args:
            socket: a ROUTER of the calling thread.
            guard: of its connections.
        """
        self.lost: Counter[str] = Counter()
        self.full_polls = 0
        self._socket = socket
        self._guard = guard
        self._senders: dict[bytes, _Sender] = {}
        # The message being read; a long one takes several polls.
        self._parts: list[zmq.Frame] = []
        self._part_count = 0
        self._size = 0

    @property
    def is_behind(self) -> bool:
        """Whether more arrives than can be read."""
        return self.full_polls >= BEHIND_POLLS

    def messages(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Read messages and hand them over, for as long as one poll may take.

        Returns:
            a client's address, and the parts of one of its messages: one, or two that stand for more than one. A part
            longer than `MAX_BYTES` is cut to one byte more.
        """
        self._read()
        begun = now = now_ns()
        for _ in range(MESSAGES_PER_POLL):
            if now - begun >= HANDLE_NS:
                break
            waiting = [(sender.used(now), address) for address, sender in self._senders.items() if sender.waiting]
            if not waiting:
                break
            address = min(waiting)[1]
            sender = self._senders[address]
            parts = sender.waiting.popleft()
            sender.waiting_bytes -= sum(map(len, parts))
            yield address, parts
            done = now_ns()
            sender.used_ns, sender.as_of_ns = sender.used(done) + done - now, done
            now = done
        self._forget(now)

    def _read(self) -> None:
        until = now_ns() + (CATCH_UP_NS if self.is_behind else READ_NS)
        while now_ns() < until:
            try:
                part = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                self.full_polls = 0
                return
            self._part_count += 1
            self._size += len(part)
            if len(self._parts) <= _KEPT:
                self._parts.append(part)
            if self._part_count == MAX_PARTS + 1:
                source = source_of(part)
                if source is not None:
                    self._guard.hang_up(source, PARTS)
            if not part.more:
                self._finish(part)
        self.full_polls += 1

    def _finish(self, last: zmq.Frame) -> None:
        source = source_of(last)
        if source is not None:
            self._guard.heard(source, self._size)
        address, *parts = [part.buffer[: MAX_BYTES + 1].tobytes() for part in self._parts]
        self._parts, self._part_count, self._size = [], 0, 0
        sender = self._senders.get(address)
        if sender is None:
            if len(self._senders) >= MAX_SENDERS:
                self.lost[OVERRUN] += 1
                return
            sender = self._senders[address] = _Sender()
        sender.waiting.append(parts)
        sender.waiting_bytes += sum(map(len, parts))
        while len(sender.waiting) > MAX_WAITING or sender.waiting_bytes > MAX_WAITING_BYTES:
            sender.waiting_bytes -= sum(map(len, sender.waiting.popleft()))
            self.lost[OVERRUN] += 1

    def _forget(self, now: int) -> None:
        """Forget clients with nothing waiting and no recent usage."""
        for address in [
            address
            for address, sender in self._senders.items()
            if not sender.waiting and (sender.used(now) < 1000 or len(self._senders) >= MAX_SENDERS)
        ]:
            del self._senders[address]
