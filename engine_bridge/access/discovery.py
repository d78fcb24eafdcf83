"""Discovery of streams on this host: one small file per stream, as specified in docs/protocol.md."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from engine_bridge.avf.wire import topic_of
from engine_bridge.errors import PrivateFileError, WireError

from .endpoints import as_reached
from .knock import answers
from .private_files import (
    check_private_folder,
    make_private_folder,
    process_lives,
    read_toml,
    remove_parts_of_the_dead,
    write_private,
)

MAX_STREAMS: Final = 256  # files examined; a folder with more is not ours


class StreamPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Location of a stream on this host.

    Attributes:
        pid: process id of the producer.
        session: the producer's session number.
        stream: name.
        frames: endpoint of the frame channel.
        control: endpoint of the control channel, empty for none.
        web: address of the page for browsers, empty for none.
        server_key: the producer's public key in Z85, empty without keys.
    """

    pid: int
    session: int
    stream: str
    frames: str
    control: str = ""
    web: str = ""
    server_key: str = ""


def folder() -> Path:
    """Folder of this user's stream files."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "bunraku" / "run"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "bunraku" if runtime else Path(f"/tmp/bunraku-{os.getuid()}")


class Announcement:
    """Announces a stream until closed; the file of a killed producer is recognised as stale by its pid."""

    def __init__(self, place: StreamPlace) -> None:
        """Write the file.

        Args:
            place: endpoints as bound; a wildcard address is written as the loopback address.

        Raises:
            WireError: another producer already plays a stream of that name, or the name is malformed.
            PrivateFileError: the folder cannot be used.
        """
        topic_of(place.stream)
        self._folder = folder()
        self._place = _as_reached_from_here(place)
        self._path = self._folder / f"{place.stream}.toml"
        make_private_folder(self._folder)
        with _folder_to_ourselves(self._folder):
            remove_parts_of_the_dead(self._folder)
            other = _read(self._path)
            if other is not None and _still_plays(other):
                raise WireError(
                    f"A stream {place.stream!r} is already played by process {other.pid} at {other.frames}. "
                    f"Stop it, or choose another name: --stream NAME"
                )
            write_private(self._path, _text_of(self._place), overwrite=True)

    def close(self) -> None:
        """Remove the file unless it now belongs to another producer. Safe to call twice."""
        with contextlib.suppress(PrivateFileError), _folder_to_ourselves(self._folder):
            if _read(self._path) == self._place:
                self._path.unlink()

    def __enter__(self) -> Announcement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_streams() -> list[StreamPlace]:
    """Streams playing on this host, by name; files of dead producers are removed.

    Raises:
        PrivateFileError: the folder belongs to another user, or others may access it.
    """
    where = folder()
    try:
        check_private_folder(where)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PrivateFileError(f"The folder {where} cannot be read: {error.strerror or error}") from error
    places = []
    with _folder_to_ourselves(where):
        remove_parts_of_the_dead(where)
        for path in sorted(where.glob("*.toml"))[:MAX_STREAMS]:
            place = _read(path)
            if place is None:
                continue
            if _still_plays(place):
                places.append(place)
            elif not process_lives(place.pid):
                path.unlink(missing_ok=True)
    return places


def find_endpoint(stream: str | None = None) -> StreamPlace:
    """Location of a stream on this host.

    Args:
        stream: its name; None takes the only stream.

    Raises:
        WireError: there is no such stream, or more than one to choose from.
        PrivateFileError: the folder of stream files cannot be used.
    """
    places = find_streams()
    names = ", ".join(place.stream for place in places)
    if stream is None and len(places) > 1:
        raise WireError(f"Several streams are playing here: {names}. Name one of them")
    for place in places:
        if stream in (None, place.stream):
            return place
    wanted = "No stream" if stream is None else f"No stream {stream!r}"
    there = f"Available: {names}" if names else "Start one with: bunraku live"
    raise WireError(f"{wanted} is playing on this machine. {there}")


def _as_reached_from_here(place: StreamPlace) -> StreamPlace:
    def from_here(endpoint: str) -> str:
        return as_reached(endpoint, "tcp://[::1]:0" if "[" in endpoint else "tcp://127.0.0.1:0")

    return msgspec.structs.replace(place, frames=from_here(place.frames), control=from_here(place.control))


def _text_of(place: StreamPlace) -> str:
    """Lines of `key = value`; clients read strings without escapes, so an unusual `ipc://` path cannot be written."""
    lines = []
    for key, value in msgspec.structs.asdict(place).items():
        if isinstance(value, str) and (not value.isprintable() or set(value) & set('"\\')):
            raise PrivateFileError(f"{value!r} contains a character that stream files cannot hold")
        lines.append(f"{key} = {value}\n" if isinstance(value, int) else f'{key} = "{value}"\n')
    return "".join(lines)


def _read(path: Path) -> StreamPlace | None:
    """Contents of a file; None if it is missing or not a valid stream file: others may have written there."""
    try:
        table: dict[str, Any] = read_toml(path, secret=False)
        place = msgspec.convert(table, StreamPlace, strict=True)
        topic_of(place.stream)
    except (FileNotFoundError, PrivateFileError, msgspec.ValidationError, WireError):
        return None
    return place if path.stem == place.stream else None


def _still_plays(place: StreamPlace) -> bool:
    """Whether the process exists and something answers at its endpoint: a pid may have been reused."""
    return process_lives(place.pid) and answers(place.frames)


@contextlib.contextmanager
def _folder_to_ourselves(where: Path) -> Iterator[None]:
    """Keep other producers from writing between our check and our write."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(where / ".lock", timeout=5.0, mode=0o600):
            yield
    except (Timeout, OSError) as error:
        raise PrivateFileError(f"The folder {where} cannot be used: {error}") from error
