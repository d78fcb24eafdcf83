"""How a stream is found on this host: a small file per stream, as docs/protocol.md tells. Opens no ZeroMQ socket."""

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

MAX_STREAMS: Final = 256  # looked at; more than that is no folder of ours


class StreamPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream of this host is.

    Attributes:
        pid: of its producer.
        session: number of the producer's start.
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
    """Where this user's streams are told."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "bunraku" / "run"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "bunraku" if runtime else Path(f"/tmp/bunraku-{os.getuid()}")


class Announcement:
    """Tells where a stream is, until it is closed; what a killed producer leaves is taken for stale by its pid."""

    def __init__(self, place: StreamPlace) -> None:
        """Write the file.

        Args:
            place: endpoints as they were bound; one of all addresses is told as the loopback one.

        Raises:
            WireError: another producer plays a stream of that name, or the name is malformed.
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
        """Remove the file, unless it is another producer's by now; a second call does nothing."""
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
    """The streams that are played on this host by this user, by name; files of dead producers are removed.

    Raises:
        PrivateFileError: the folder belongs to somebody else, or others may look into it.
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
    """Where a stream of this host is.

    Args:
        stream: its name; None takes the only one there is.

    Raises:
        WireError: there is no such stream, or there are several to choose from.
        PrivateFileError: the folder in which they are told cannot be used.
    """
    places = find_streams()
    names = ", ".join(place.stream for place in places)
    if stream is None and len(places) > 1:
        raise WireError(f"Several streams are playing here: {names}. Name one of them")
    for place in places:
        if stream in (None, place.stream):
            return place
    wanted = "No stream" if stream is None else f"No stream {stream!r}"
    there = f"There is: {names}" if names else "Start one with: bunraku live"
    raise WireError(f"{wanted} is played on this machine. {there}")


def _as_reached_from_here(place: StreamPlace) -> StreamPlace:
    def from_here(endpoint: str) -> str:
        return as_reached(endpoint, "tcp://[::1]:0" if "[" in endpoint else "tcp://127.0.0.1:0")

    return msgspec.structs.replace(place, frames=from_here(place.frames), control=from_here(place.control))


def _text_of(place: StreamPlace) -> str:
    """Lines of `key = value`; clients read strings without escapes, so an odd path of `ipc://` cannot be told."""
    lines = []
    for key, value in msgspec.structs.asdict(place).items():
        if isinstance(value, str) and (not value.isprintable() or set(value) & set('"\\')):
            raise PrivateFileError(f"{value!r} holds a character that cannot be told to clients")
        lines.append(f"{key} = {value}\n" if isinstance(value, int) else f'{key} = "{value}"\n')
    return "".join(lines)


def _read(path: Path) -> StreamPlace | None:
    """What a file tells; None if there is none or it is no such file, for others may have written there."""
    try:
        table: dict[str, Any] = read_toml(path, secret=False)
        place = msgspec.convert(table, StreamPlace, strict=True)
        topic_of(place.stream)
    except (FileNotFoundError, PrivateFileError, msgspec.ValidationError, WireError):
        return None
    return place if path.stem == place.stream else None


def _still_plays(place: StreamPlace) -> bool:
    """Whether there is such a process, and something answers where it publishes: a number may be another's by now."""
    return process_lives(place.pid) and answers(place.frames)


@contextlib.contextmanager
def _folder_to_ourselves(where: Path) -> Iterator[None]:
    """Keep other producers from looking and writing between our look and our writing."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(where / ".lock", timeout=5.0, mode=0o600):
            yield
    except (Timeout, OSError) as error:
        raise PrivateFileError(f"The folder {where} cannot be used: {error}") from error
