"""Why a client's handshake fails: libzmq's events, put into words.

After a refused key or another mechanism libzmq gives up for good, so a watching client must reconnect.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Iterator
from typing import Final

import zmq

from engine_bridge.access.keys import ClientKeys

from .zmq_sockets import Socket

_EVENTS: Final = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.CONNECTED  # this one and the next for `ProducerWatch`
    | zmq.Event.DISCONNECTED
)
_HANG_UPS: Final = 3  # in a row; a producer that dies during a handshake disconnects once
_REFUSED: Final = 400  # ZAP's status for a refused client


class HandshakeWatch:
    """Listens to the handshake events of a socket. Create it before connecting, close it before the socket.

    Attributes:
        socket: readable when there are events; poll it beside the watched one, in the same thread.
    """

    def __init__(self, watched: Socket) -> None:
        self._watched = watched
        self.socket: Socket = watched.get_monitor_socket(_EVENTS)

    def events(self) -> Iterator[tuple[int, int]]:
        """Events since the last call: libzmq's event and its value."""
        with contextlib.suppress(zmq.Again):
            while True:
                number, value = struct.unpack("=HI", self.socket.recv_multipart(zmq.NOBLOCK)[0])
                yield number, value

    def close(self) -> None:
        """Stop listening."""
        self._watched.disable_monitor()
        self.socket.close()


class HandshakeJudge:
    """Tells refusals from mishaps, across all connections of one client. Pure."""

    def __init__(self, endpoint: str, keys: ClientKeys | None) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._hang_ups = 0

    def refusal_in(self, event: int, value: int) -> str | None:
        """Why the connection is hopeless and what to do, for people; None to continue."""
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._hang_ups = 0
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            return self._not_admitted(value)
        elif event == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            return self._not_understood(value)
        elif event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL and value != errno.EAGAIN:
            return self._hung_up()  # EAGAIN: silent for too long, as a stopped producer is
        return None

    def _not_admitted(self, status: int) -> str:
        if self._keys is None or status != _REFUSED:
            return f"{self._endpoint} cannot tell who may connect; its log says why"
        return (
            f"{self._endpoint} refused this client's key, which is not on its list. "
            f"On the producer's machine: bunraku keys add NAME --public '{self._keys.public}'"
        )

    def _not_understood(self, detail: int) -> str:
        if detail != zmq.Event.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return f"The handshake with {self._endpoint} failed (ZMTP error {detail:#x}). Is a producer behind it?"
        if self._keys is None:
            return (
                f"{self._endpoint} talks only to clients with keys. Make a key file on the producer's machine with "
                "bunraku keys add NAME, carry it here and give it: --key NAME.client.toml"
            )
        return (
            f"{self._endpoint} has no keys, and this client, which has some, talks to nobody without. "
            "Start the producer with --keys, or leave the key out"
        )

    def _hung_up(self) -> str | None:
        """A producer cannot decrypt messages for another key, and closes the connection without a word.

        So does one of another mechanism, if it reads this client's greeting before this client has read its own; over
        several connections it becomes clear which of the two it is.
        """
        self._hang_ups += 1
        if self._keys is None or self._hang_ups < _HANG_UPS:
            return None
        return (
            f"{self._endpoint} hangs up on this client: it has no keys, or another one than {self._keys.server} in "
            "this client's file (`bunraku keys list` over there shows it), or nothing is behind a forwarded port"
        )
