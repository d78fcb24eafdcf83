"""Named shared memory of this user on this host: made by a producer, mapped read-only by its clients. Knows bytes.

The standard library's `SharedMemory` is not used on POSIX: before Python 3.13 a process that only opens a segment
removes it when it exits (cpython#82300).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

PREFIX: Final = "bunraku-"
_LINUX_FOLDER: Final = Path("/dev/shm")  # where Linux shows POSIX shared memory as files


class SharedMemory:
    r"""A segment that is mapped here.

    Attributes:
        name: what to open it by; `/bunraku-<random>` on POSIX, `Local\bunraku-<random>` on Windows.
        view: its bytes, writable by the maker only. Give up what you took of it before `close`.
    """

    def __init__(self, name: str, mapping: mmap.mmap, *, owner_fd: int | None, owned: bool) -> None:
        self.name = name
        self._mapping = mapping
        self._owner_fd = owner_fd
        self._owned = owned
        self.view = memoryview(mapping)

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """Make a segment that only this user can open; it is all zeros.

        Raises:
            OSError: there is no room, or this system has no shared memory.
        """
        name = PREFIX + secrets.token_hex(8)
        if sys.platform == "win32":
            name = f"Local\\{name}"
            return cls(name, mmap.mmap(-1, size, tagname=name), owner_fd=None, owned=True)
        import _posixshmem

        name = f"/{name}"
        descriptor = _posixshmem.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
        try:
            _hold(descriptor)
            os.ftruncate(descriptor, size)
            mapping = mmap.mmap(descriptor, size)
        except BaseException:
            os.close(descriptor)
            _posixshmem.shm_unlink(name)
            raise
        return cls(name, mapping, owner_fd=descriptor, owned=True)

    @classmethod
    def open(cls, name: str) -> SharedMemory:
        """Map a segment that somebody else made, read-only.

        Raises:
            OSError: there is none of this name, or it belongs to somebody else.
        """
        if sys.platform == "win32":
            # mmap would make the segment if there were none, so the standard library's opener asks first.
            from multiprocessing.shared_memory import SharedMemory as Opener

            opened = Opener(name)
            try:
                mapping = mmap.mmap(-1, opened.size, tagname=name, access=mmap.ACCESS_READ)
            finally:
                opened.close()
            return cls(name, mapping, owner_fd=None, owned=False)
        import _posixshmem

        descriptor = _posixshmem.shm_open(name, os.O_RDONLY, mode=0)
        try:
            mapping = mmap.mmap(descriptor, os.fstat(descriptor).st_size, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty segment: its maker has not come further yet
            raise OSError(f"{name} is empty") from error
        finally:
            os.close(descriptor)
        return cls(name, mapping, owner_fd=None, owned=False)

    def close(self) -> None:
        """Unmap; the maker removes the name too, and readers keep what they have mapped. Again does nothing."""
        self.view.release()
        self._mapping.close()
        if self._owned and sys.platform != "win32":
            import _posixshmem

            with contextlib.suppress(FileNotFoundError):
                _posixshmem.shm_unlink(self.name)
        self._owned = False
        if self._owner_fd is not None:
            os.close(self._owner_fd)
            self._owner_fd = None

    def __enter__(self) -> SharedMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_orphans() -> int:
    """Remove the segments of makers that were killed, and say how many.

    A maker holds a lock on its segment for as long as it lives, whatever ends it. Only Linux shows the names of
    segments; Windows frees them by itself, and on macOS those of killed processes stay until the next start.
    """
    return sum(_remove_orphan(path) for path in _segments()) if sys.platform == "linux" else 0


def _segments() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from _LINUX_FOLDER.glob(f"{PREFIX}*")


def _remove_orphan(path: Path) -> bool:
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # somebody else's, or just removed
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # its maker lives
        return False
    finally:
        os.close(descriptor)
    return True


def _hold(descriptor: int) -> None:
    """Hold a lock that ends with this process. Linux only: macOS has no locks on shared memory."""
    if sys.platform == "linux":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
