"""Floods: messages of a hostile program, each aimed at one limited resource of a producer.

As a program it floods until it is killed: `python -m tests.floods NAME FRAMES CONTROL`.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgpack
import psutil

from engine_bridge import Subscriber
from tests.raw_zmtp import GREETING, RawPeer
from tests.zmtp_peer import frame, message

SETTLE_S: Final = 0.3
EMPTY_MAPS: Final = (
    b"\x82\xa1k\xa3foo\xa1x\xdc\x04\x00" + (b"\xdc\x00\x3e" + b"\x80" * 62) * 1000 + b"\x80" * 24
)  # 62,024 of them in 65,036 bytes


def unfinished(endpoint: str, kind: str, part_bytes: int) -> None:
    """Send a message that never ends, repeatedly."""
    parts = frame(bytes(part_bytes), more=True) * max(1, 2**18 // (part_bytes + 2))
    with RawPeer.connect(endpoint, kind) as peer:
        while True:
            peer.send(parts)


def many_parts(endpoint: str) -> None:
    """Whole messages of very many empty parts."""
    whole = frame(b"", more=True) * 100_000 + frame(b"")
    with RawPeer.connect(endpoint, "DEALER") as peer:
        while True:
            peer.send(whole)


def repeated(endpoint: str, packed: bytes) -> None:
    """Send one control message at full speed; the answers are read and discarded."""
    many = message(packed) * max(1, 2**17 // len(packed))
    with RawPeer.connect(endpoint, "DEALER") as peer:
        peer.socket.settimeout(0.02)
        while True:
            with contextlib.suppress(TimeoutError):
                peer.send(many)
            with contextlib.suppress(TimeoutError):
                peer.socket.recv(65536)


def subscriptions(endpoint: str) -> None:
    """Subscribe to long, distinct topics."""
    with RawPeer.connect(endpoint, "SUB") as peer:
        for number in range(20_000):
            peer.send(frame(b"\x01avf1/" + str(number).encode().rjust(1000, b"x")))
        time.sleep(1.0)


def changing_subscriptions(endpoint: str) -> None:
    """Subscribe and unsubscribe continuously; every subscription triggers a picture for all."""
    with RawPeer.connect(endpoint, "SUB") as peer:
        while True:
            peer.send((frame(b"\x01avf1/") + frame(b"\x00avf1/")) * 100)


def leaving_subscribers(endpoint: str) -> None:
    """Disconnect before exceeding the limits, leaving unprocessed subscriptions behind."""
    with RawPeer.connect(endpoint, "SUB") as peer:
        peer.send((frame(b"\x01avf1/") + frame(b"\x00avf1/")) * 200)


def silent_connections(endpoint: str, hello: bytes) -> None:
    """A thousand connections, of which as many as possible stay open."""
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    held: list[socket.socket] = []
    for _ in range(1000):
        held.append(socket.create_connection((host, int(port)), 20.0))
        with contextlib.suppress(OSError):
            held[-1].sendall(hello)
    time.sleep(1.0)


def new_clients(endpoint: str) -> None:
    """One client after another, each saying hello."""
    hello = message(msgpack.packb({"k": "hello", "proto": [1], "name": "x" * 60000}))
    held = []
    for _ in range(300):
        held.append(RawPeer.connect(endpoint, "DEALER"))
        held[-1].send(hello)


def stalled_subscribers(endpoint: str) -> None:
    """Subscribers that come one after another and never read."""
    held = []
    for _ in range(100):
        held.append(RawPeer.connect(endpoint, "SUB"))
        held[-1].send(frame(b"\x01avf1/"))
        time.sleep(0.01)
    time.sleep(1.0)


def new_subscribers(endpoint: str) -> None:
    """One subscriber after another, who all stay."""
    held = []
    for _ in range(1000):
        held.append(RawPeer.connect(endpoint, "SUB"))
        held[-1].send(frame(b"\x01avf1/"))


def _packed(**message_: Any) -> bytes:
    packed: bytes = msgpack.packb(message_)
    return packed


FLOODS: Final[dict[str, Callable[[str, str], None]]] = {
    "unfinished control message": lambda frames, control: unfinished(control, "DEALER", 1000),
    "unfinished subscription": lambda frames, control: unfinished(frames, "SUB", 1000),
    "unfinished, empty parts": lambda frames, control: unfinished(control, "DEALER", 0),
    "messages of 100,000 parts": lambda frames, control: many_parts(control),
    "62,000 empty maps": lambda frames, control: repeated(control, EMPTY_MAPS),
    "1000 elements": lambda frames, control: repeated(control, _packed(k="ping", t=1, x=[{}] * 1000)),
    "pings": lambda frames, control: repeated(control, _packed(k="ping", t=1)),
    "hellos": lambda frames, control: repeated(control, _packed(k="hello", proto=[1])),
    "requests for the last frame": lambda frames, control: repeated(control, _packed(k="req", what="last")),
    "20,000 long subscriptions": lambda frames, control: subscriptions(frames),
    "subscriptions that change": lambda frames, control: changing_subscriptions(frames),
    "subscribers that leave at once": lambda frames, control: leaving_subscribers(frames),
    "1,000 silent connections": lambda frames, control: silent_connections(frames, b""),
    "1,000 half handshakes": lambda frames, control: silent_connections(control, GREETING),
    "clients, one after another": lambda frames, control: new_clients(control),
    "subscribers, one after another": lambda frames, control: new_subscribers(frames),
    "subscribers that never read": lambda frames, control: stalled_subscribers(frames),
}


@contextmanager
def flooding(name: str, frames: str, control: str) -> Iterator[None]:
    """A separate process that floods a producer."""
    command = [sys.executable, "-m", "tests.floods", name, frames, control]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it starts now
            yield
        finally:
            process.kill()


def survey(
    name: str, producer: psutil.Process, subscriber: Subscriber, frames: str, control: str, *, seconds: float
) -> dict[str, Any]:
    """Effect of a flood on a producer and its subscriber.

    Returns:
        frames per second `before`, `during` and `after`; mebibytes before, at most and after; descriptors likewise;
        how often limits were broken.
    """
    before, _, _ = _watch(producer, subscriber, seconds)
    resident = producer.memory_info().rss
    descriptors = _descriptors(producer)
    broken = dict(subscriber.stats.over_limits) if subscriber.stats else {}
    with flooding(name, frames, control):
        during, most, most_descriptors = _watch(producer, subscriber, seconds)
    time.sleep(SETTLE_S)
    after, _, _ = _watch(producer, subscriber, seconds)
    now = subscriber.stats.over_limits if subscriber.stats else {}
    return {
        "flood": name,
        "fps_before": round(before, 1),
        "fps_during": round(during, 1),
        "fps_after": round(after, 1),
        "mb_before": resident >> 20,
        "mb_most": most >> 20,
        "mb_after": producer.memory_info().rss >> 20,
        "descriptors_before": descriptors,
        "descriptors_most": most_descriptors,
        "descriptors_after": _descriptors(producer),
        "over_limits": {key: count - broken.get(key, 0) for key, count in now.items() if count > broken.get(key, 0)},
    }


def _watch(producer: psutil.Process, subscriber: Subscriber, seconds: float) -> tuple[float, int, int]:
    """Frames per second that arrive, maximum resident bytes and maximum descriptors."""
    subscriber.wait(1.0)
    started, first = time.monotonic(), subscriber.statistics.received
    resident = descriptors = 0
    while time.monotonic() - started < seconds:
        subscriber.wait(0.05)
        resident = max(resident, producer.memory_info().rss)
        descriptors = max(descriptors, _descriptors(producer))
    return (subscriber.statistics.received - first) / (time.monotonic() - started), resident, descriptors


def _descriptors(process: psutil.Process) -> int:
    return process.num_fds() if hasattr(process, "num_fds") else process.num_handles()


def main(name: str, frames: str, control: str) -> None:
    """Flood until killed."""
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    for _ in itertools.count():
        with contextlib.suppress(OSError, EOFError, struct.error):
            FLOODS[name](frames, control)


if __name__ == "__main__":
    main(*sys.argv[1:])
