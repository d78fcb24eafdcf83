"""Who may connect: CURVE key files of a producer and its clients. Knows files and keys, no socket.

A producer's folder, which only its owner may enter:

    server.toml          public and secret key of the producer
    clients/NAME.toml    public key of a client: the list of those that may connect

A client has one file of three lines, `server`, `public` and `secret`, made on the producer's machine and carried over.
Keys are 40 characters of Z85 (ZeroMQ RFC 32).
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import zmq
from zmq.utils import z85

from engine_bridge.errors import PrivateFileError

from .private_files import check_private_folder, make_private_folder, read_toml, remove_parts_of_the_dead, write_private

MAX_CLIENTS: Final = 1000
_KEY_CHARACTERS: Final = 40
_Z85: Final = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,58}")


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """A producer's pair of keys, and where it keeps the list of those that may connect.

    Attributes:
        public: given to clients, so that they know whom they talk to.
        secret: never leaves this machine.
        clients: folder of the list.
        guests: public keys that are let in beside the list, for parts of the producer itself.
    """

    public: str
    secret: str = field(repr=False)
    clients: Path
    guests: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """A client's pair of keys, and the public key of its producer.

    Attributes:
        server: the producer's public key.
        public: what the producer has on its list.
        secret: never told to anybody.
    """

    server: str
    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    """An entry of a producer's list.

    Attributes:
        name: for people.
        public: the client's public key.
    """

    name: str
    public: str


def default_folder() -> Path:
    """Where `bunraku keys` keeps this user's keys unless told otherwise."""
    import platformdirs

    return platformdirs.user_config_path("bunraku", appauthor=False) / "keys"


def make_server_keys(folder: Path, *, overwrite: bool = False) -> ServerKeys:
    """Draw a producer's pair of keys and write it into the folder, which is made if need be.

    Raises:
        PrivateFileError: there is one already, others may enter the folder, or it cannot be written.
    """
    make_private_folder(folder)
    make_private_folder(folder / "clients")
    remove_parts_of_the_dead(folder)
    public, secret = _draw_pair()
    path = folder / "server.toml"
    try:
        write_private(path, _lines(public=public, secret=secret), overwrite=overwrite)
    except FileExistsError:
        raise PrivateFileError(
            f"{path} exists. With --force it is replaced, and every client needs a new file"
        ) from None
    return ServerKeys(public, secret, folder / "clients")


def read_server_keys(folder: Path) -> ServerKeys:
    """Read a producer's pair of keys.

    Raises:
        PrivateFileError: there is none, others may read it, or it is malformed.
    """
    path = folder / "server.toml"
    try:
        check_private_folder(folder)
        keys = _keys_in(path, ("public", "secret"), secret=True)
        check_private_folder(folder / "clients")
    except FileNotFoundError:
        raise PrivateFileError(f"No keys in {folder}. Make them with: bunraku keys init {folder}") from None
    except OSError as error:
        raise PrivateFileError(f"The folder {folder} cannot be read: {error.strerror or error}") from error
    return ServerKeys(keys["public"], keys["secret"], folder / "clients")


def read_client_keys(path: Path) -> ClientKeys:
    """Read a client's file.

    Raises:
        PrivateFileError: there is none, others may read it, or it is malformed.
    """
    try:
        keys = _keys_in(path, ("server", "public", "secret"), secret=True)
    except FileNotFoundError:
        raise PrivateFileError(
            f"There is no key file {path}. Make one on the producer's machine with: bunraku keys add NAME"
        ) from None
    return ClientKeys(keys["server"], keys["public"], keys["secret"])


def make_guest_keys(server: ServerKeys) -> tuple[ServerKeys, ClientKeys]:
    """Draw a pair that lasts as long as this process, for a client inside it.

    Returns:
        the producer's keys with the guest let in, and the guest's.
    """
    public, secret = _draw_pair()
    return replace(server, guests=server.guests | {public}), ClientKeys(server.public, public, secret)


def add_client(folder: Path, name: str, file: Path, *, overwrite: bool = False) -> ClientKeys:
    """Draw a client's pair of keys, put its public key on the list, and write the file to hand over.

    Args:
        folder: of the producer's keys.
        name: of the entry, 1 to 59 of A-Z a-z 0-9 . _ -
        file: the client's file to write.
        overwrite: whether an entry and a file of that name may be replaced.

    Raises:
        PrivateFileError: the name is taken or malformed, or something cannot be read or written.
    """
    server = read_server_keys(folder)
    entry = _entry(server.clients, name)
    if entry.exists() and not overwrite:
        raise _already_listed(name)
    public, secret = _draw_pair()
    try:
        write_private(file, _lines(server=server.public, public=public, secret=secret), overwrite=overwrite)
    except FileExistsError:
        raise PrivateFileError(f"{file} exists. Move it away, or replace it with --force") from None
    try:
        _write_entry(entry, name, public, overwrite=overwrite)
    except PrivateFileError:
        file.unlink()
        raise
    return ClientKeys(server.public, public, secret)


def add_known_client(folder: Path, name: str, public: str, *, overwrite: bool = False) -> None:
    """Put the public key of a client that has its pair already on the list.

    Raises:
        PrivateFileError: the name is taken or malformed, the key is not valid, or it cannot be written.
    """
    server = read_server_keys(folder)
    if not is_key(public):
        raise PrivateFileError(f"{public[:60]!r} is no public key; a key is {_KEY_CHARACTERS} characters of Z85")
    _write_entry(_entry(server.clients, name), name, public, overwrite=overwrite)


def remove_client(folder: Path, name: str) -> None:
    """Take a client off the list; it is refused from its next connection on.

    Raises:
        PrivateFileError: it is not on the list, or its entry cannot be deleted.
    """
    server = read_server_keys(folder)
    try:
        _entry(server.clients, name).unlink()
    except FileNotFoundError:
        raise PrivateFileError(f"{name} is not on the list; `bunraku keys list` shows who is") from None
    except OSError as error:
        raise PrivateFileError(f"{name} cannot be taken off the list: {error.strerror or error}") from error


def is_key(text: str) -> bool:
    """Whether a text is a CURVE key in Z85."""
    if not _Z85.fullmatch(text):
        return False
    try:
        z85.decode(text.encode("ascii"))
    except struct.error:  # five characters can say more than 32 bits hold
        return False
    return True


class AllowList:
    """The list of those that may connect; follows its folder while it is used.

    Attributes:
        troubles: what was wrong with entries at the last reading, each with its file.
    """

    def __init__(self, folder: Path) -> None:
        """Note where the list is.

        Args:
            folder: of the entries; it is read when somebody is looked up.
        """
        self.troubles: list[str] = []
        self._folder = folder
        self._seen: list[tuple[str, int, int, int]] | None = None
        self._names: dict[str, str] = {}

    def name_of(self, public: str) -> str | None:
        """The name of the client with this public key, None if it is not on the list.

        Raises:
            PrivateFileError: the folder cannot be read.
        """
        self._read_again_if_changed()
        return self._names.get(public)

    def clients(self) -> list[Client]:
        """All entries, by name.

        Raises:
            PrivateFileError: the folder cannot be read.
        """
        self._read_again_if_changed()
        return sorted((Client(name, public) for public, name in self._names.items()), key=lambda client: client.name)

    def _read_again_if_changed(self) -> None:
        try:
            with os.scandir(self._folder) as entries:
                files = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".toml")]
        except OSError as error:
            raise PrivateFileError(f"The list {self._folder} cannot be read: {error.strerror or error}") from error
        # The folder's own time would miss a file that is edited in place, and two changes within one tick.
        seen = sorted((name, about.st_mtime_ns, about.st_ino, about.st_size) for name, about in files)
        if seen == self._seen:
            return
        self._seen, self._names, self.troubles = seen, {}, []
        for name, *_ in seen[:MAX_CLIENTS]:
            try:
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    self._names[_keys_in(self._folder / name, ("public",), secret=False)["public"]] = name[:-5]
            except PrivateFileError as error:
                self.troubles.append(str(error))
        if len(seen) > MAX_CLIENTS:
            self.troubles.append(f"{self._folder} has {len(seen)} entries, {MAX_CLIENTS} are read")


def _draw_pair() -> tuple[str, str]:
    try:
        public, secret = zmq.curve_keypair()
    except zmq.ZMQError as error:
        raise PrivateFileError("This libzmq was built without CURVE. Install pyzmq from PyPI") from error
    return public.decode("ascii"), secret.decode("ascii")


def _entry(clients: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise PrivateFileError(f"{name[:60]!r} is not a valid client name. Use 1 to 59 of A-Z a-z 0-9 . _ -")
    return clients / f"{name}.toml"


def _write_entry(entry: Path, name: str, public: str, *, overwrite: bool) -> None:
    make_private_folder(entry.parent)
    try:
        write_private(entry, _lines(name=name, public=public), overwrite=overwrite)
    except FileExistsError:
        raise _already_listed(name) from None


def _already_listed(name: str) -> PrivateFileError:
    return PrivateFileError(
        f"{name} is on the list already. Choose another name, or replace it with --force; its old key is then refused"
    )


def _lines(**values: str) -> str:
    return "".join(f'{key} = "{value}"\n' for key, value in values.items())


def _keys_in(path: Path, names: tuple[str, ...], *, secret: bool) -> dict[str, str]:
    table: dict[str, Any] = read_toml(path, secret=secret)
    for name in names:
        value = table.get(name)
        if not isinstance(value, str) or not is_key(value):
            what = "is missing" if value is None else "is not a valid key"
            raise PrivateFileError(
                f'{path}: the key "{name}" {what}; expected {name} = "..." with {_KEY_CHARACTERS} characters of Z85'
            )
    keys: dict[str, str] = {name: table[name] for name in names}
    if secret and zmq.curve_public(keys["secret"].encode()).decode() != keys["public"]:
        raise PrivateFileError(f"{path}: the public key does not belong to the secret one; make a new file")
    return keys
