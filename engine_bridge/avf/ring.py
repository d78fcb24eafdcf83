"""The shared-memory ring that carries pixels between processes on one host.

The layout is in `docs/protocol.md`, "Shared memory". The header sent over the socket names slot and sequence
number; the reader checks the slot's number, copies, and checks again whether the slot was overwritten meanwhile (a
seqlock).

On Linux each of these three steps is a system call, and their loads stay in order: the kernel takes a page reference
with a full barrier before it copies, so no load of one call precedes those of the call before; and the fence
below separates the copy from the second check, whoever did the copying. A number is eight aligned bytes, which
processors copy in one access.
"""

from __future__ import annotations

import errno
import mmap
import struct
import threading
from types import TracebackType
from typing import Final

import numpy as np

from engine_bridge.errors import FrameOvertaken, MessageRejected
from engine_bridge.frame import Pixels

from .shared_memory import SharedMemory, SharedMemoryReader

MAGIC: Final = b"BNRKRNG1"
VERSION: Final = 1
SLOTS: Final = 4
MAX_SLOTS: Final = 60
PAGE: Final = 4096
MAX_NAME_BYTES: Final = 31  # limit of macOS

_HEAD = struct.Struct("<8sIIQQQ")
_SEQUENCES_AT: Final = 128
_SEQUENCE_STEP: Final = 64  # one cache line each
_FENCE = threading.Lock()


class RingWriter:
    """Writes pictures into consecutive slots and never waits for a reader.

    Attributes:
        name: for readers to open it.
        capacity: bytes per slot.
    """

    def __init__(self, capacity: int, *, session: int) -> None:
        """Create the ring.

        Args:
            capacity: size of the largest picture in bytes.
            session: the producer's, so that no client reads a ring of an earlier start.

        Raises:
            OSError: not enough memory, or the system has no shared memory.
        """
        self.capacity = capacity
        stride = -(-capacity // PAGE) * PAGE
        self._memory = SharedMemory.create(PAGE + SLOTS * stride)
        self.name = self._memory.name
        everything = np.frombuffer(self._memory.view, np.uint8)
        self._slots = [everything[PAGE + index * stride :][:capacity] for index in range(SLOTS)]
        self._sequences = _sequences(everything, SLOTS)
        self._next = 0
        _HEAD.pack_into(self._memory.view, 0, MAGIC, VERSION, SLOTS, capacity, stride, session)

    def write(self, pixels: memoryview) -> tuple[int, int]:
        """Copy a picture into the next slot.

        Returns:
            slot and sequence number, for readers.

        Raises:
            OSError: another program of this user has truncated the ring. Close it and continue without.
        """
        if not self._memory.is_whole:
            raise OSError(errno.EIO, f"the ring {self.name} was truncated by another program")
        slot, self._next = self._next, (self._next + 1) % SLOTS
        number = int(self._sequences[slot])
        self._sequences[slot] = number + 1
        _fence()
        self._slots[slot][: len(pixels)] = pixels
        _fence()
        self._sequences[slot] = number + 2
        return slot, number + 2

    @property
    def is_whole(self) -> bool:
        """Whether what was written can be read; another program of this user may have truncated the ring."""
        return self._memory.is_whole

    def last(self, size: int) -> Pixels:
        """The bytes written last, valid until the next write. uint8 [size]."""
        newest: Pixels = self._slots[self._next - 1][:size]
        return newest

    def close(self) -> None:
        """Remove the ring; readers keep what they have open. Safe to call twice."""
        self._slots.clear()
        self._sequences = np.zeros(0, np.uint64)
        self._memory.close()


class RingReader:
    """Reads from one ring."""

    def __init__(self, name: str) -> None:
        """Open the ring.

        Raises:
            MessageRejected: `shm`, if it cannot be opened or is not a ring.
        """
        if len(name) > MAX_NAME_BYTES or "/" in name[1:]:
            raise MessageRejected("shm", f"{name[:64]!r} is not a valid name of a shared-memory ring")
        try:
            self._memory = SharedMemoryReader(name)
        except (OSError, ValueError) as error:
            raise MessageRejected(
                "shm", f"the ring {name} cannot be opened: {error}. Is the producer on this host, and of this user?"
            ) from error
        try:
            self._read_head()
        except MessageRejected:
            self._memory.close()
            raise

    def _read_head(self) -> None:
        size = self._memory.size
        if size < PAGE:
            raise MessageRejected("shm", f"a ring of {size} bytes")
        head = self._read(0, np.empty(_HEAD.size, np.uint8))
        magic, version, self._slots, self._capacity, self._stride, self.session = _HEAD.unpack(head.data)
        fits = self._capacity <= self._stride and self._stride % PAGE == 0 and PAGE + self._slots * self._stride <= size
        if magic != MAGIC or version != VERSION or not 4 <= self._slots <= MAX_SLOTS or not fits:
            raise MessageRejected("shm", f"{self._memory.name} is not a ring of version {VERSION}, or is truncated")

    def copy(self, slot: int, sequence: int, size: int) -> Pixels:
        """Copy a picture out.

        Returns:
            uint8 [size], owned by the caller.

        Raises:
            MessageRejected: `shm`, if the ring has no such slot or size, or has been truncated.
            FrameOvertaken: the slot was overwritten.
        """
        if slot >= self._slots or size > self._capacity:
            raise MessageRejected("shm", f"slot {slot} of {self._slots} with {size} of {self._capacity} bytes")
        if self._sequence(slot) != sequence:
            raise FrameOvertaken(f"slot {slot} of {self._memory.name} was overwritten before it was read")
        pixels = self._read(PAGE + slot * self._stride, np.empty(size, np.uint8))
        _fence()
        if self._sequence(slot) != sequence:
            raise FrameOvertaken(f"slot {slot} of {self._memory.name} was overwritten while it was read")
        return pixels

    def _sequence(self, slot: int) -> int:
        return int(self._read(_SEQUENCES_AT + slot * _SEQUENCE_STEP, np.empty(8, np.uint8)).view("<u8")[0])

    def _read(self, offset: int, out: Pixels) -> Pixels:
        try:
            self._memory.read_into(out.data, offset)
        except OSError as error:
            raise MessageRejected("shm", f"the ring {self._memory.name} cannot be read: {error.strerror}") from error
        return out

    def close(self) -> None:
        """Close the ring. Safe to call twice."""
        self._memory.close()


class RingCache:
    """The ring that a client reads from; reopened when a frame names another one."""

    def __init__(self) -> None:
        self._name = ""
        self._reader: RingReader | None = None

    def open(self, name: str) -> RingReader:
        """Return the ring of this name.

        Raises:
            MessageRejected: `shm`, if it cannot be opened.
        """
        if self._reader is None or name != self._name:
            self.close()
            self._reader = RingReader(name)
            self._name = name
        return self._reader

    def close(self) -> None:
        """Close the open ring."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> RingCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sequences(everything: Pixels, slots: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    end = _SEQUENCES_AT + slots * _SEQUENCE_STEP
    return everything[_SEQUENCES_AT:end].view("<u8")[:: _SEQUENCE_STEP // 8]


def _fence() -> None:
    """Order memory accesses before this call ahead of those after it, for other processes too.

    Python has no memory fence. Unlocking releases and locking acquires; on ARM a release followed by an acquire is
    not reordered (ARM ARM, "Load-Acquire, Store-Release", RCsc), so the pair below separates what surrounds it. On
    x86 nothing needs to be done.
    """
    with _FENCE:
        pass
    with _FENCE:
        pass


assert mmap.PAGESIZE % PAGE == 0
