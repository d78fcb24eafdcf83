"""Atomic writes: files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from engine_bridge.errors import SinkError


def is_folder(path: Path) -> bool:
    """Whether this is a folder; False if it may not be read or no disk can have such a name."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_free_for_folder(path: Path) -> bool:
    """Whether nothing is there, or an empty folder. True where that cannot be checked: creating it will tell why."""
    try:
        return not path.exists() or (path.is_dir() and not any(path.iterdir()))
    except OSError:
        return True


def part_path(path: Path) -> Path:
    """Temporary name of `path` while this process writes it: hidden, same folder, same suffix."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


def remove_stale_parts(path: Path) -> None:
    """Delete files left half-written for `path` by killed processes."""
    for part in path.parent.glob(f".{glob.escape(path.stem)}.*.part{glob.escape(path.suffix)}"):
        pid = part.name.removeprefix(f".{path.stem}.").split(".", 1)[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            with contextlib.suppress(OSError):
                remove(part)


def remove(path: Path) -> None:
    """Delete a file or a folder; does nothing if it is missing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush the file's bytes to disk, so that a rename cannot come before them."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` only if the block succeeds, otherwise it is deleted.

    Raises:
        SinkError: the folder does not exist, or the disk is full or refuses.
    """
    if not is_folder(path.parent):
        raise SinkError(f'The folder "{path.parent}" does not exist. Make it, or choose another place for {path.name}.')
    if is_folder(path):
        raise SinkError(f'"{path}" is a folder. Choose the name of a file.')
    remove_stale_parts(path)
    part = part_path(path)
    try:
        yield part
        sync(part)
        part.replace(path)
    except OSError as error:
        raise SinkError(f"Could not write {path}: {error.strerror or error}. {advice(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            remove(part)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder to fill; it becomes `path` only if the block succeeds, otherwise it is deleted.

    Raises:
        SinkError: something exists there, or the disk is full or refuses.
    """
    if not is_folder(path.parent):
        raise SinkError(f'The folder "{path.parent}" does not exist. Make it, or choose another place for {path.name}.')
    if not is_free_for_folder(path):
        raise SinkError(f'"{path}" exists and is not an empty folder. Choose another name, or delete it.')
    remove_stale_parts(path)
    part = part_path(path)
    try:
        part.mkdir()
        yield part
        if path.is_dir():
            path.rmdir()
        part.replace(path)
    except OSError as error:
        raise SinkError(f"Could not write {path}: {error.strerror or error}. {advice(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            remove(part)


def advice(error: OSError) -> str:
    """Advice for a failed write."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC):
        return "The disk is full; free some space or write somewhere else. The previous content is untouched."
    return "Check that the folder is writable. The previous content is untouched."
