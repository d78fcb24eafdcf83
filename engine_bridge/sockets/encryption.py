"""Access to a producer's socket: open, or encrypted with a list of authorised clients.

CURVE is ZeroMQ RFC 26; ZAP, with which libzmq asks who may connect, is RFC 27.

A door owns the context in which a producer opens its one socket, and binds it. `LockedDoor` admits the clients on the
list; `OpenDoor` admits everyone, for sockets that only this machine can reach.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import zmq
from zmq.utils import z85

from engine_bridge.access.endpoints import is_for_this_machine
from engine_bridge.access.keys import AllowList, ClientKeys, ServerKeys
from engine_bridge.errors import PrivateFileError, WireError

from .zmq_sockets import Context, OncePerSecond, Socket, SocketThread, bind

logger = logging.getLogger(__name__)

_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_ZAP_VERSION: Final = b"1.0"
_ZAP_PARTS: Final = 7  # of a request about a CURVE client
_START_TIMEOUT_S: Final = 5.0


class OpenDoor:
    """No keys: nothing is encrypted or authenticated.

    Attributes:
        context: for opening the socket.
    """

    def __init__(self, *, insecure: bool = False) -> None:
        """Create a context.

        Args:
            insecure: whether other machines may connect as well; every such binding is logged.
        """
        self.context: Context = zmq.Context()
        self._insecure = insecure
        self._file: _IpcFile | None = None

    def bind(self, socket: Socket, endpoint: str) -> str:
        """Bind the socket of this door.

        Args:
            socket: of the door's context.
            endpoint: of this machine, unless the door is insecure; port 0 takes a free one.

        Returns:
            the endpoint to connect to, with the actual port.

        Raises:
            WireError: the endpoint may not be bound, or is in use.
        """
        bound = bind(socket, endpoint, from_elsewhere=self._insecure)
        if not is_for_this_machine(bound):
            logger.warning("%s accepts anyone who reaches it, and nothing is encrypted: started insecure", bound)
        self._file = _IpcFile.of(bound)
        return bound

    def close(self) -> None:
        """Free the context; the socket must be closed. Safe to call twice."""
        self.context.term()
        if self._file is not None:
            self._file.remove()


class LockedDoor:
    """CURVE with a list of clients: a thread answers libzmq's admission requests.

    The list is consulted for every connection, so entries may come and go while the door is in use; connected clients
    stay. Without an answer nobody is admitted.

    Attributes:
        context: for opening the socket.
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
        self._file: _IpcFile | None = None
        self._list = AllowList(keys.clients)
        self._troubles: list[str] = []
        self._log = OncePerSecond(logger)
        self._answering = threading.Event()
        self._thread = SocketThread("bunraku-door", self._answer_questions)
        self.context = self._thread.context
        if not self._answering.wait(_START_TIMEOUT_S):
            self.close()
            raise WireError("The thread that admits clients did not start. Is this machine overloaded? Try again.")

    def bind(self, socket: Socket, endpoint: str) -> str:
        """Make the socket of this door use CURVE with this door's ZAP domain, and bind it to any address.

        Args:
            socket: of the door's context.
            endpoint: to bind; port 0 takes a free one.

        Returns:
            the endpoint to connect to, with the actual port.

        Raises:
            WireError: the endpoint is malformed or in use.
        """
        socket.curve_server = True
        socket.curve_secretkey = self._keys.secret.encode()
        bound = bind(socket, endpoint, from_elsewhere=True)
        self._file = _IpcFile.of(bound)
        return bound

    def close(self) -> None:
        """Stop answering and free the context; the socket must be closed. Safe to call twice."""
        self._thread.close()
        if self._file is not None:
            self._file.remove()

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
        """Answer one request, in the parts of RFC 27."""
        request = question[1] if len(question) > 1 else b""
        status, text, user = b"400", b"not on the list", b""
        if len(question) == _ZAP_PARTS and question[0] == _ZAP_VERSION and len(question[6]) == 32:
            public = z85.encode(question[6]).decode("ascii")
            address = question[3].decode("ascii", "replace")
            try:
                name = "guest" if public in self._keys.guests else self._list.name_of(public)
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
                logger.warning("skipped a client entry: %s", trouble)


Door: TypeAlias = "OpenDoor | LockedDoor"


def door_of(keys: ServerKeys | None, *, insecure: bool = False) -> Door:
    """Create the door for these keys; `insecure` opens a door without keys to other machines.

    Raises:
        WireError: this libzmq has no CURVE.
    """
    return OpenDoor(insecure=insecure) if keys is None else LockedDoor(keys)


@dataclass(frozen=True, slots=True)
class _IpcFile:
    """File of an `ipc://` endpoint, which libzmq leaves behind."""

    path: Path
    inode: int

    @classmethod
    def of(cls, endpoint: str) -> _IpcFile | None:
        if not endpoint.startswith("ipc://"):
            return None
        path = Path(endpoint.removeprefix("ipc://"))
        try:
            return cls(path, path.stat().st_ino)
        except OSError:  # a Linux abstract name, which has no file
            return None

    def remove(self) -> None:
        """Delete it unless another producer has replaced it."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()


def use_client_keys(socket: Socket, keys: ClientKeys | None) -> None:
    """Make a client's socket use CURVE before it is connected; without keys nothing changes.

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
