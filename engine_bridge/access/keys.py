"""CURVE key files of a producer and its clients.

A producer's folder, accessible only to its owner:

    server.toml          public and secret key of the producer
    clients/NAME.toml    public key of an authorised client

A client has one file with `server`, `public` and `secret`, created on the producer's machine and copied over.
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
    """A producer's key pair, and the folder of its authorised clients.

    Attributes:
        public: given to clients, to authenticate the producer.
        secret: never leaves this machine.
        clients: folder of the list.
        guests: public keys admitted in addition to the list, for parts of the producer itself.
    """

    public: str
    secret: str = field(repr=False)
    clients: Path
    guests: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """A client's key pair, and the public key of its producer.

    Attributes:
        server: the producer's public key.
        public: what the producer has on its list.
        secret: never shared.
    """

    server: str
    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    """An entry of a producer's list.

    Attributes:
        name: human-readable.
        public: the client's public key.
    """

    name: str
    public: str


def default_folder() -> Path:
    """Default folder of `bunraku keys` for this user."""
    import platformdirs

    return platformdirs.user_config_path("bunraku", appauthor=False) / "keys"


def make_server_keys(folder: Path, *, overwrite: bool = False) -> ServerKeys:
    """Generate a producer's key pair and write it to the folder, which is created if necessary.

    Raises:
        PrivateFileError: a key pair exists, others may access the folder, or it cannot be written.
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
    """Read a producer's key pair.

    Raises:
        PrivateFileError: it is missing, readable by others, or malformed.
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
        PrivateFileError: it is missing, readable by others, or malformed.
    """
    try:
        keys = _keys_in(path, ("server", "public", "secret"), secret=True)
    except FileNotFoundError:
        raise PrivateFileError(
            f"There is no key file {path}. Make one on the producer's machine with: bunraku keys add NAME"
        ) from None
    return ClientKeys(keys["server"], keys["public"], keys["secret"])


def make_guest_keys(server: ServerKeys) -> tuple[ServerKeys, ClientKeys]:
    """Generate a key pair that lasts as long as this process, for a client inside it.

    Returns:
        the producer's keys with the guest admitted, and the guest's keys.
    """
    public, secret = _draw_pair()
    return replace(server, guests=server.guests | {public}), ClientKeys(server.public, public, secret)


def add_client(folder: Path, name: str, file: Path, *, overwrite: bool = False) -> ClientKeys:
    """Generate a client's key pair, add its public key to the list, and write the client's file.

    Args:
        folder: of the producer's keys.
        name: of the entry, 1 to 59 of A-Z a-z 0-9 . _ -
        file: the client's file to write.
        overwrite: whether an existing entry or file of that name may be replaced.

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
    """Add the public key of a client that already has a key pair to the list.

    Raises:
        PrivateFileError: the name is taken or malformed, the key is not valid, or it cannot be written.
    """
    server = read_server_keys(folder)
    if not is_key(public):
        raise PrivateFileError(f"{public[:60]!r} is not a public key; a key is {_KEY_CHARACTERS} characters of Z85")
    _write_entry(_entry(server.clients, name), name, public, overwrite=overwrite)


def remove_client(folder: Path, name: str) -> None:
    """Remove a client from the list; its next connection is refused.

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
    except struct.error:  # five characters can encode more than 32 bits
        return False
    return True


class AllowList:
    """The list of authorised clients; follows changes in its folder.

    Attributes:
        troubles: problems with entries at the last read, each with its file.
    """

    def __init__(self, folder: Path) -> None:
        """Open the list.

        Args:
            folder: of the entries; read on lookup.
        """
        self.troubles: list[str] = []
        self._folder = folder
        self._seen: list[tuple[str, int, int, int]] | None = None
        self._names: dict[str, str] = {}

    def name_of(self, public: str) -> str | None:
        """Return the name of the client with this public key, None if it is not on the list.

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
        # The folder's own mtime misses a file edited in place, and two changes within one tick.
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
