"""Recorded streams: files of `.avr` (assets/conformance/README.md), read, written and replayed through a socket."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import zmq

MAGIC = b"AVR1"

Record: TypeAlias = "tuple[int, list[bytes]]"  # nanoseconds since the first, parts


def write_transcript(path: Path, records: Sequence[Record]) -> None:
    """Write records as a transcript."""
    with path.open("wb") as file:
        file.write(MAGIC)
        for since_ns, parts in records:
            file.write(struct.pack(f"<QB{len(parts)}I", since_ns, len(parts), *map(len, parts)))
            file.writelines(parts)


def read_transcript(path: Path) -> list[Record]:
    """All records of a transcript."""
    data = path.read_bytes()
    assert data[:4] == MAGIC, f"{path} is not a transcript"
    records: list[Record] = []
    at = 4
    while at < len(data):
        since_ns, count = struct.unpack_from("<QB", data, at)
        lengths = struct.unpack_from(f"<{count}I", data, at + 9)
        at += 9 + 4 * count
        parts = []
        for length in lengths:
            parts.append(data[at : at + length])
            at += length
        records.append((since_ns, parts))
    return records


class TranscriptPlayer:
    """Plays records through a real XPUB socket in a thread: from the beginning when a client subscribes, then again.

    The last frame of the transcript is repeated until the player is closed, so that a slow client sees it too.

    Attributes:
        endpoint: where to connect.
        rounds: number of times the last record was sent.
    """

    def __init__(self, records: Sequence[Record], *, speed: float = 1.0) -> None:
        self.rounds = 0
        self._records = list(records)
        self._speed = speed
        self._stop = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.sndhwm = 2
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._thread = threading.Thread(target=self._play, name="transcript", daemon=True)
        self._thread.start()

    def __enter__(self) -> TranscriptPlayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        self._context.destroy(linger=0)

    def _play(self) -> None:
        while not self._stop.is_set() and not self._socket.poll(50):
            pass
        started = time.monotonic()
        for since_ns, parts in self._records:
            self._stop.wait(max(0.0, started + since_ns / 1e9 / self._speed - time.monotonic()))
            if self._stop.is_set():
                return
            self._socket.send_multipart(parts)
        frames = [parts for _, parts in self._records if len(parts) > 2]
        while frames and not self._stop.wait(0.1):
            self._socket.send_multipart(frames[-1])
            self.rounds += 1
