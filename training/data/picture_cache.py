"""Decoded pictures kept between runs: beside the data or, if that is not writable, in this user's cache.

A file here is complete: it is renamed when its last byte is on
the disk, and its name encodes its inputs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import filelock
import platformdirs

from training.errors import DatasetError

LIMIT_BYTES: Final = 64 << 30  # of the user's cache; a single larger data set is kept, but alone
VARIABLE: Final = "BUNRAKU_PICTURE_CACHE"
SUFFIX: Final = ".u8"

Note = Callable[[str], None]


def kept_file(data: Path, key: str, kind: str, bytes_: int, fill: Callable[[Path], None], *, note: Note) -> Path:
    """The file of decoded pictures for this data, created if missing.

    Args:
        data: the data set's folder.
        key: changes whenever the decoded pictures would.
        kind: of pictures, and their size; an older file of the same kind beside the data is removed.
        bytes_: size of the file.
        fill: writes into a file of that size, whose space is already reserved.
        note: told if the pictures are not beside the data, or another process is creating them.

    Raises:
        DatasetError: the disk is full, or no place is writable.
    """
    name = f"{key[:32]}-{kind}{SUFFIX}"
    beside, users = data / ".cache", users_folder()
    refused = []
    for place in (beside, users):
        try:
            if not _is_whole(place / name, bytes_):
                _make(place, name, bytes_, fill, limit=None if place == beside else LIMIT_BYTES, note=note)
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            refused.append((place, error))
            continue
        if place == users:
            note(f"{data} takes no decoded pictures ({_reason(refused[0][1])}); they are kept in {users}")
            with contextlib.suppress(OSError):
                os.utime(place / name)  # for eviction of the least recently used
        return place / name
    tried = "; ".join(f"{place}: {_reason(error)}" for place, error in refused)
    full = any(isinstance(error, OSError) and error.errno == errno.ENOSPC for _, error in refused)
    raise DatasetError(
        f"There is not enough disk space for {bytes_ / 2**30:.1f} GiB of decoded pictures ({tried}). "
        f"{'Free some space there, or set' if full else 'Set'} {VARIABLE} to a folder that can take them."
    ) from refused[-1][1]


def users_folder() -> Path:
    """Folder for pictures that cannot be kept beside their data."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("bunraku") / "pictures"


def _is_whole(path: Path, bytes_: int) -> bool:
    return path.is_file() and path.stat().st_size == bytes_


def _make(place: Path, name: str, bytes_: int, fill: Callable[[Path], None], *, limit: int | None, note: Note) -> None:
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = place / f"{name}.partial"
    with _alone(place / f"{name}.lock", note):
        if _is_whole(place / name, bytes_):  # made by the previous holder of the lock
            return
        _make_room(place, name, bytes_, limit)
        try:
            with partial.open("wb") as file:
                # Reserve the space now: a full disk must fail here and not as a crash inside the mapping.
                if hasattr(os, "posix_fallocate") and bytes_:
                    os.posix_fallocate(file.fileno(), 0, bytes_)
                else:
                    file.truncate(bytes_)
            fill(partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(place / name)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(path: Path, note: Note) -> Iterator[None]:
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        note("another process is decoding these pictures; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_room(place: Path, name: str, bytes_: int, limit: int | None) -> None:
    """Remove stale files: beside the data older states, in the user's cache the least recently used."""
    for partial in place.glob("*.partial"):
        with contextlib.suppress(filelock.Timeout), filelock.FileLock(partial.with_suffix(".lock"), timeout=0):
            partial.unlink()  # of a killed run: a live one holds its lock
    others = [path for path in place.glob(f"*{SUFFIX}") if path.name != name]
    if limit is None:
        kind = name.rpartition("-")[2]
        stale = [path for path in others if path.name.endswith(f"-{kind}")]
    else:
        with contextlib.suppress(OSError):
            others.sort(key=lambda path: path.stat().st_mtime_ns)
        stale = []
        left = sum(path.stat().st_size for path in others if path.exists())
        free = shutil.disk_usage(place).free
        for path in others:
            if left + bytes_ <= limit and bytes_ <= free:
                break
            stale.append(path)
            left, free = left - path.stat().st_size, free + path.stat().st_size
    for path in stale:
        with contextlib.suppress(OSError):  # on Windows while a run maps it
            path.unlink()


def _reason(error: OSError | NotImplementedError) -> str:
    return getattr(error, "strerror", None) or str(error)
