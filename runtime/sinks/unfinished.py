"""Names of recordings that are still being written.

A recording can end with its process, or with the machine's power. So it is written under a visible, self-explanatory
name, `take.unfinished-<process>.mp4` beside `take.mp4`, and gets its own name when it is complete. Nothing here
deletes or overwrites recordings, except for the file that a complete recording replaces.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import psutil

from engine_bridge.errors import SinkError
from runtime.atomic import advice, is_folder, is_free_for_folder, sync

_MARK: Final = ".unfinished-"
_EMPTY_FOR_S: Final = 60.0


def begin(path: Path, *, folder: bool) -> Path:
    """Create the empty file or folder for a recording.

    Args:
        path: its final name.
        folder: whether it is a folder of pictures.

    Raises:
        SinkError: the place cannot be written to, or something there must not be replaced.
    """
    if not is_folder(path.parent):
        raise SinkError(f'The folder "{path.parent}" does not exist. Make it, or choose another place for {path.name}.')
    if folder and not is_free_for_folder(path):
        raise SinkError(f'"{path}" exists and is not an empty folder. Choose another name, or delete it.')
    if not folder and is_folder(path):
        raise SinkError(f'"{path}" is a folder. Choose the name of a file.')
    for count in itertools.count(1):
        number = f"{os.getpid()}" if count == 1 else f"{os.getpid()}-{count}"
        part = path.with_name(f"{path.stem}{_MARK}{number}{path.suffix}")
        try:
            if folder:
                part.mkdir()
            else:
                part.open("xb").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise SinkError(f"Cannot record to {path}: {error.strerror or error}. {advice(error)}") from error
        return part
    raise AssertionError("numbers do not run out")


def left_over(path: Path) -> list[Path]:
    """Recordings to `path` left behind by ended processes; ones that have been empty for long are removed instead."""
    found: list[Path] = []
    try:
        parts = sorted(path.parent.iterdir())
    except OSError:  # a folder that can be written but not listed
        return found
    for part in parts:
        if not (part.name.startswith(f"{path.stem}{_MARK}") and part.suffix == path.suffix):
            continue
        number = part.name.removeprefix(f"{path.stem}{_MARK}").removesuffix(path.suffix).partition("-")[0]
        with contextlib.suppress(OSError):  # it was completed meanwhile
            changed = part.stat().st_mtime
            if not number.isdigit() or _is_in_use(int(number), changed):
                continue
            if changed > time.time() - _EMPTY_FOR_S or not remove_if_empty(part):
                found.append(part)
    return found


def _is_in_use(pid: int, changed: float) -> bool:
    """Whether the recording process is alive. In containers each start has the same pid as the one before."""
    if pid == os.getpid():
        return changed >= psutil.Process().create_time() - 1.0
    return psutil.pid_exists(pid)


def remove_if_empty(part: Path) -> bool:
    """Remove a file without bytes or a folder without files, and return whether that was so."""
    with contextlib.suppress(OSError):
        if part.is_dir():
            part.rmdir()
            return True
        if part.stat().st_size == 0:
            part.unlink()
            return True
    return False


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None if there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns


def complete(part: Path, path: Path, replaces: tuple[int, int] | None) -> Path:
    """Give a complete recording its final name, or the next free one if that was taken since.

    Args:
        part: the recording.
        path: the requested name.
        replaces: what had that name when the recording began.

    Returns:
        Its name.

    Raises:
        OSError: renaming failed; the recording keeps its current name.
    """
    if not part.is_dir():
        sync(part)
        free = path
        if identity(path) != replaces:
            others = (path.with_name(f"{path.stem}-{count}{path.suffix}") for count in itertools.count(2))
            free = next(other for other in others if not other.exists())
        return part.replace(free)
    if path.is_dir():
        path.rmdir()
    return part.replace(path)


def cut_to_whole_fragments(part: Path) -> None:
    """Remove the torn end of a fragmented MP4 whose encoder was killed, so that players can read it.

    The file is a sequence of boxes, each a length and a name (ISO/IEC 14496-12); a fragment is `moof` and then `mdat`.
    """
    with part.open("rb+") as file:
        size = os.fstat(file.fileno()).st_size
        whole = 0
        for name, end in _boxes(file, size):
            if name != b"moof":
                whole = end
        if whole < size:
            file.truncate(whole)


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Name and end of each complete box."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # a 64-bit length
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or end + length > size:
            return
        end += length
        yield head[4:8], end
