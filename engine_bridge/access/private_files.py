"""Small TOML files that only their owner may read, written atomically."""

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
POSIX: Final = os.name == "posix"  # elsewhere file modes do not control who may read
_PART_PREFIX: Final = ".part-"


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may access, parents included, or check an existing one.

    Raises:
        PrivateFileError: another user owns it, others may access it, or it cannot be created.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        check_private_folder(folder)
    except OSError as error:
        raise PrivateFileError(f"The folder {folder} cannot be created: {error.strerror or error}") from error


def check_private_folder(folder: Path) -> None:
    """Check that a folder is ours alone: in /tmp anyone could have created one of that name first.

    Raises:
        PrivateFileError: it is not a folder, another user owns it, or others may access it.
        OSError: it does not exist.
    """
    about = folder.lstat()  # not following links: a link belongs to whoever created it
    if not stat.S_ISDIR(about.st_mode):
        raise PrivateFileError(f"{folder} is not a folder; move it away")
    if POSIX and about.st_uid != os.getuid():
        raise PrivateFileError(f"The folder {folder} belongs to user {about.st_uid}; move it away or choose another")
    if POSIX and about.st_mode & 0o077:
        raise PrivateFileError(f"Others may access the folder {folder}; fix it with: chmod 700 {folder}")


def write_private(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file atomically, with mode 0600.

    Args:
        path: in an existing folder.
        text: what to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        FileExistsError: the file exists and may not be replaced.
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
                path.hardlink_to(part)  # unlike a rename, fails if the path exists
            else:
                Path(part).rename(path)  # on Windows, fails if the path exists
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
        secret: refuse a file that others may read.

    Raises:
        FileNotFoundError: it does not exist.
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
        raise PrivateFileError(f"{path} is not valid TOML: {error}") from error


def remove_parts_of_the_dead(folder: Path) -> None:
    """Delete files left half-written by killed processes."""
    for part in folder.glob(f"{_PART_PREFIX}*"):
        pid = part.name.removeprefix(_PART_PREFIX).split("-", 1)[0]
        if pid.isdigit() and not process_lives(int(pid)):
            with contextlib.suppress(OSError):
                part.unlink()


def process_lives(pid: int) -> bool:
    """Return whether a process with this id exists."""
    import psutil

    return pid > 0 and pid < 2**31 and psutil.pid_exists(pid)
