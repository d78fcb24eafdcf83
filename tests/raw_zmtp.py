"""A ZMTP 3.0 connection (NULL) after the handshake, for sending what libzmq would never send."""

from __future__ import annotations

import contextlib
import socket
import struct
from types import TracebackType

PATIENCE_S = 20.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


class RawPeer:
    """A connection after its handshake."""

    def __init__(self, connection: socket.socket, kind: str) -> None:
        """Shake hands.

        Args:
            connection: a TCP connection, closed with this.
            kind: of socket to pose as, such as `DEALER`.
        """
        self.socket = connection
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(GREETING)
        self._receive(len(GREETING))
        name = kind.encode()
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(name)) + name
        if kind in ("DEALER", "ROUTER"):
            ready += b"\x08Identity" + bytes(4)
        connection.sendall(bytes([4, len(ready)]) + ready)
        _, size = self._receive(2)
        self._receive(size)

    @classmethod
    def connect(cls, endpoint: str, kind: str) -> RawPeer:
        """Connect to a producer's `tcp://` endpoint."""
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        with contextlib.ExitStack() as unless_it_shakes_hands:
            connection = unless_it_shakes_hands.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            peer = cls(connection, kind)
            unless_it_shakes_hands.pop_all()
        return peer

    def send(self, data: bytes) -> None:
        """Send bytes verbatim."""
        self.socket.sendall(data)

    def is_hung_up_on(self, within_s: float) -> bool:
        """Whether the peer closes the connection in time; what it sends before is read and discarded."""
        self.socket.settimeout(within_s)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError("the peer closed the connection during the handshake")
            data += more
        return data
