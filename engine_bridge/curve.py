"""Encryption and admission on a producer's sockets (ZeroMQ RFC 26, CURVE, and RFC 27, ZAP). Knows sockets, no frames.

A door owns the context in which a producer opens its socket. `LockedDoor` lets in who is on the list; `OpenDoor` has
no lock, for sockets that only this machine can reach.
"""

from __future__ import annotations

import logging
import threading
from typing import Final, TypeAlias

import zmq
from zmq.utils import z85

from .errors import PrivateFileError, WireError
from .keys import AllowList, ClientKeys, ServerKeys
from .sockets import Context, OncePerSecond, Socket, SocketThread

logger = logging.getLogger(__name__)

DOMAIN: Final = b"bunraku"
_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_ZAP_VERSION: Final = b"1.0"
_ZAP_PARTS: Final = 7  # of a question about a CURVE client
_START_TIMEOUT_S: Final = 5.0


class OpenDoor:
    """No keys: nothing is encrypted, and nobody is asked for a name.

    Attributes:
        context: in which to open the socket.
    """

    def __init__(self) -> None:
        self.context: Context = zmq.Context()

    def lock(self, socket: Socket) -> None:
        """Do nothing to a socket that is to be bound."""

    def close(self) -> None:
        """Free the context; its sockets must be closed. A second call does nothing."""
        self.context.term()


class LockedDoor:
    """CURVE with a list: a thread answers libzmq's question who may come in, for all sockets of its context.

    The list is looked at for every connection, so entries may come and go while the door is in use; who is connected
    already stays. Without an answer nobody comes in.

    Attributes:
        context: in which to open the socket.
    """

    def __init__(self, keys: ServerKeys) -> None:
        """Start answering.

        Args:
            keys: of the producer, with its list.

        Raises:
            WireError: this libzmq has no CURVE, or the thread does not start.
        """
        _require_curve()
        self._keys = keys
        self._list = AllowList(keys.clients)
        self._troubles: list[str] = []
        self._log = OncePerSecond(logger)
        self._answering = threading.Event()
        self._thread = SocketThread("bunraku-door", self._answer_questions)
        self.context = self._thread.context
        if not self._answering.wait(_START_TIMEOUT_S):
            self.close()
            raise WireError("The thread that admits clients did not start. Is this machine overloaded? Try again.")

    def lock(self, socket: Socket) -> None:
        """Make a socket speak CURVE and ask this door; before it is bound."""
        socket.curve_server = True
        socket.curve_secretkey = self._keys.secret.encode()
        socket.zap_domain = DOMAIN

    def close(self) -> None:
        """Stop answering and free the context; its sockets must be closed. A second call does nothing."""
        self._thread.close()

    def _answer_questions(self, thread: SocketThread) -> None:
        questions = thread.context.socket(zmq.REP)
        questions.linger = 0
        try:
            questions.bind(_ZAP_ENDPOINT)
            self._answering.set()
            poller = zmq.Poller()
            poller.register(questions, zmq.POLLIN)
            poller.register(thread.alarm, zmq.POLLIN)
            while not thread.stopping:
                if questions in dict(poller.poll()):
                    questions.send_multipart(self._answer(questions.recv_multipart()))
        finally:
            questions.close()

    def _answer(self, question: list[bytes]) -> list[bytes]:
        """Answer one question, in the parts of RFC 27."""
        request = question[1] if len(question) > 1 else b""
        status, text, user = b"400", b"not on the list", b""
        if len(question) == _ZAP_PARTS and question[0] == _ZAP_VERSION and len(question[6]) == 32:
            public = z85.encode(question[6]).decode("ascii")
            address = question[3].decode("ascii", "replace")
            try:
                name = self._list.name_of(public)
            except PrivateFileError as error:
                self._log.warn(f"refused {public} from {address}: {error}")
                status, text = b"500", b"the list cannot be read"
            else:
                self._warn_of_troubles()
                if name is None:
                    self._log.warn(
                        f"refused a client at {address} whose key is not on the list; add it with "
                        f"bunraku keys add NAME --public '{public}'"
                    )
                else:
                    status, text, user = b"200", b"OK", name.encode("ascii", "replace")
        return [_ZAP_VERSION, request, status, text, user, b""]

    def _warn_of_troubles(self) -> None:
        if self._list.troubles != self._troubles:
            self._troubles = self._list.troubles
            for trouble in self._troubles:
                logger.warning("left out of the list: %s", trouble)


Door: TypeAlias = "OpenDoor | LockedDoor"


def door_of(keys: ServerKeys | None) -> Door:
    """The door that these keys ask for.

    Raises:
        WireError: this libzmq has no CURVE.
    """
    return OpenDoor() if keys is None else LockedDoor(keys)


def use_client_keys(socket: Socket, keys: ClientKeys | None) -> None:
    """Make a client's socket speak CURVE, before it is connected; without keys it stays as it is.

    Raises:
        WireError: this libzmq has no CURVE.
    """
    if keys is None:
        return
    _require_curve()
    socket.curve_serverkey = keys.server.encode()
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise WireError("This libzmq was built without CURVE, so keys cannot be used. Install pyzmq from PyPI.")
