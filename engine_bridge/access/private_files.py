"""Small TOML files that only their owner may read, written whole or not at all. Knows files, not what is in them."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from engine_bridge.errors import PrivateFileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES: Final = 4096
POSIX: Final = os.name == "posix"  # elsewhere files have no mode that says who may read them
_PART_PREFIX: Final = ".part-"


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, parents included, or check that it is one.

    Raises:
        PrivateFileError: somebody else owns it, others may enter it, or it cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        check_private_folder(folder)
    except OSError as error:
        raise PrivateFileError(f"The folder {folder} cannot be made: {error.strerror or error}") from error


def check_private_folder(folder: Path) -> None:
    """Check that a folder is ours alone: in /tmp anybody could have made one of that name before us.

    Raises:
        PrivateFileError: it is not a folder, somebody else owns it, or others may enter it.
        OSError: it is not there.
    """
    about = folder.lstat()  # a link would be whoever made the link
    if not stat.S_ISDIR(about.st_mode):
        raise PrivateFileError(f"{folder} is not a folder; move it away")
    if POSIX and about.st_uid != os.getuid():
        raise PrivateFileError(f"The folder {folder} belongs to user {about.st_uid}; move it away or choose another")
    if POSIX and about.st_mode & 0o077:
        raise PrivateFileError(f"Others may look into the folder {folder}; fix it with: chmod 700 {folder}")


def write_private(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file with mode 0600 that appears whole or not at all.

    Args:
        path: in a folder that exists.
        text: what to write.
        overwrite: whether it may take the place of a file.

    Raises:
        FileExistsError: it may not, and there is one.
        PrivateFileError: it cannot be written.
    """
    try:
        handle, part = tempfile.mkstemp(prefix=f"{_PART_PREFIX}{os.getpid()}-", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                Path(part).replace(path)
            elif POSIX:
                path.hardlink_to(part)  # unlike a rename, it fails if there is something
            else:
                Path(part).rename(path)  # which fails on Windows if there is something
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(part).unlink()
    except FileExistsError:
        raise
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be written: {error.strerror or error}") from error


def read_toml(path: Path, *, secret: bool) -> dict[str, Any]:
    """Read a file of at most 4 KiB.

    Args:
        path: of a file.
        secret: refuse it if others than its owner may read it.

    Raises:
        FileNotFoundError: there is none.
        PrivateFileError: it cannot be read, is too long or malformed, or others may read it.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if secret and POSIX and about.st_mode & 0o077:
                raise PrivateFileError(f"Others may read {path}, which holds a secret; fix it with: chmod 600 {path}")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise PrivateFileError(f"{path} is longer than {MAX_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise PrivateFileError(f"{path} is no TOML: {error}") from error


def remove_parts_of_the_dead(folder: Path) -> None:
    """Delete what killed processes left half-written."""
    for part in folder.glob(f"{_PART_PREFIX}*"):
        pid = part.name.removeprefix(_PART_PREFIX).split("-", 1)[0]
        if pid.isdigit() and not process_lives(int(pid)):
            with contextlib.suppress(OSError):
                part.unlink()


def process_lives(pid: int) -> bool:
    """Whether there is a process of this number."""
    import psutil

    return pid > 0 and pid < 2**31 and psutil.pid_exists(pid)
