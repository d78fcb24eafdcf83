"""A hand-written ZMTP 3 peer (ZeroMQ RFC 23, mechanism NULL), so that it can also misbehave."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = SIGNATURE + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
PATIENCE_S = 5.0


def frame(body: bytes, *, more: bool = False) -> bytes:
    """One message part."""
    return _framed(1 if more else 0, body)


def message(*parts: bytes) -> bytes:
    """A whole message."""
    return b"".join(frame(part, more=index < len(parts) - 1) for index, part in enumerate(parts))


def command(name: str, body: bytes) -> bytes:
    """One command."""
    return _framed(4, bytes([len(name)]) + name.encode() + body)


def ready(kind: str) -> bytes:
    """The end of a handshake."""
    return command("READY", b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode())


def ping(*, ttl_ds: int = 0, context: bytes = b"") -> bytes:
    """A PING. `ttl_ds`: tenths of a second after which the peer should give up on us."""
    return command("PING", struct.pack(">H", ttl_ds) + context)


def connect(port: int) -> socket.socket:
    """A fresh connection. A producer under a flood closes its port for a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def greet(connection: socket.socket, kind: str) -> None:
    """Shake hands; the peer's output is read up to the end of its greeting."""
    connection.settimeout(PATIENCE_S)
    connection.sendall(GREETING)
    left = len(GREETING)
    while left:
        got = connection.recv(left)
        if not got:
            raise ConnectionError("connection closed during the greeting")
        left -= len(got)
    connection.sendall(ready(kind))


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of a clean shutdown."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def misbehave(connection: socket.socket, kind: str, messages: list[bytes], rng: random.Random) -> None:
    """Misbehave towards the peer in one of many ways, and leave.

    Args:
        connection: open, without data yet; closed afterwards.
        kind: of socket to pretend to be.
        messages: whole ones that the peer might accept, for floods.
        rng: chooses.
    """
    pause_s = rng.choice((0.0, 0.002, 0.02))
    with contextlib.suppress(OSError):
        match rng.randrange(10):
            case 0:  # a truncated greeting
                connection.sendall(GREETING[: rng.randrange(len(GREETING))])
            case 1:  # unknown to ZeroMQ
                connection.sendall(rng.randbytes(rng.randrange(1, 300)))
            case 2:  # older versions of the protocol
                connection.sendall(
                    SIGNATURE + rng.choice((b"\x00", b"\x01\x02", b"\x01\x08")) + b"\x00\x00" + messages[0]
                )
            case 3:  # other mechanisms, and interrupted handshakes
                name = rng.choice((b"CURVE", b"PLAIN", b"XXXX"))
                connection.sendall(SIGNATURE + b"\x03\x01" + name.ljust(20, b"\0") + bytes(32) + rng.randbytes(40))
            case 4:  # broken commands in place of a handshake
                greeting_end = rng.choice((b"\x04\x00", b"\x04\x01\x09", command("READY", rng.randbytes(9))))
                connection.sendall(GREETING + greeting_end)
            case 5:  # a message that never ends, with PINGs between its parts
                greet(connection, kind)
                connection.sendall((frame(rng.randbytes(3), more=True) + ping()) * 200)
            case _:  # more than any queue holds, with PINGs in it, gone before the answer
                greet(connection, kind)
                question = ping(ttl_ds=rng.choice((0, 1, 20)), context=rng.randbytes(rng.randrange(20)))
                flood = (b"".join(rng.choice(messages) for _ in range(rng.choice((1, 30, 300)))) + question) * 20
                connection.sendall(flood[: rng.choice((len(flood), 8191, 8192, 8193))])
        threading.Event().wait(pause_s)
        if rng.random() < 0.3:
            connection.shutdown(rng.choice((socket.SHUT_RD, socket.SHUT_WR)))
            threading.Event().wait(pause_s)
    if rng.random() < 0.7:
        reset(connection)
    else:
        connection.close()


class Rogue:
    """Accepts connections on a port and handles several at a time, until closed.

    Attributes:
        port: listening port.
        served: number of connections so far.
    """

    def __init__(self, serve: Callable[[socket.socket], None], *, port: int = 0, at_once: int = 4) -> None:
        """Start listening.

        Args:
            serve: called with each connection, in one of several threads; closes it.
            port: 0 takes a free one.
            at_once: number of serving threads.
        """
        self.served = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._serve = serve
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(at_once)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop and free the port."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.served += 1
                self._serve(connection)


def _framed(flags: int, body: bytes) -> bytes:
    if len(body) <= 255:
        return bytes([flags, len(body)]) + body
    return bytes([flags | 2]) + struct.pack(">Q", len(body)) + body
