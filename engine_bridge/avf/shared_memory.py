"""Named shared memory of this user on this host: created by a producer, read by its clients.

Neither end may be killed by the other, or by a full memory file system. Touching a missing page of a mapping raises
SIGBUS, which Python cannot catch, so:

- On Linux the creator reserves every page before mapping them, and fails early if there is no room.
- On Linux a reader maps nothing. It copies with `preadv`, which returns a short read for a truncated segment.
- On macOS a segment can be sized only once and `read` does not work on it; on Windows a section cannot shrink while it
  is mapped. Neither has the problem, so readers map there.

The standard library's `SharedMemory` is not used on POSIX: before Python 3.13 a process that only opens a segment
removes it when it exits (cpython#82300).
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

PREFIX: Final = "bunraku-"
_LINUX_FOLDER: Final = Path("/dev/shm")  # where Linux shows POSIX shared memory as files


class SharedMemory:
    r"""A segment created here.

    Attributes:
        name: for opening it; `/bunraku-<random>` on POSIX, `Local\bunraku-<random>` on Windows.
        view: its bytes, writable. Release all slices of it before `close`.
    """

    def __init__(self, name: str, mapping: mmap.mmap, descriptor: int | None) -> None:
        self.name = name
        self._mapping = mapping
        self._descriptor = descriptor
        self.view = memoryview(mapping)

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """Create a segment that only this user can open, filled with zeros.

        Raises:
            OSError: not enough memory, or the system has no shared memory.
        """
        name = PREFIX + secrets.token_hex(8)
        if sys.platform == "win32":
            name = f"Local\\{name}"
            return cls(name, mmap.mmap(-1, size, tagname=name), None)
        name = f"/{name}"
        with contextlib.ExitStack() as undone:
            descriptor = _shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
            undone.callback(_shm_unlink, name)
            undone.callback(os.close, descriptor)
            _hold(descriptor)
            _reserve(descriptor, size)
            mapping = mmap.mmap(descriptor, size)
            undone.pop_all()  # success: keep everything
        return cls(name, mapping, descriptor)

    @property
    def is_whole(self) -> bool:
        """Whether every page is still there; another program of this user may have truncated it. Takes 1 us."""
        if sys.platform != "linux" or self._descriptor is None:
            return True
        now = os.fstat(self._descriptor)
        return now.st_size >= len(self.view) and now.st_blocks * 512 >= len(self.view)

    def close(self) -> None:
        """Unmap and remove the name; readers keep what they have open. Safe to call twice."""
        self.view.release()
        self._mapping.close()
        if self._descriptor is not None:
            _shm_unlink(self.name)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> SharedMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SharedMemoryReader:
    """A segment created by another process, open for reading.

    Attributes:
        name: the name it was opened by.
        size: in bytes, when opened; the creator may shrink it at any time.
    """

    def __init__(self, name: str) -> None:
        """Open the segment.

        Raises:
            OSError: no segment has this name, or it belongs to another user.
        """
        self.name = name
        self._descriptor: int | None = None
        self._mapping: mmap.mmap | None = None
        if sys.platform == "win32":
            # mmap would create a missing segment, so the standard library's opener is asked first.
            from multiprocessing.shared_memory import SharedMemory as Opener

            opened = Opener(name)
            try:
                self.size = opened.size
                self._mapping = mmap.mmap(-1, opened.size, tagname=name, access=mmap.ACCESS_READ)
            finally:
                opened.close()
            return
        # The name may point to a pipe; opening one would wait for its other end.
        descriptor = _shm_open(name, os.O_RDONLY | os.O_NONBLOCK, mode=0)
        try:
            self.size = _size_of_own(name, descriptor)
            if sys.platform == "linux":
                self._descriptor = descriptor
            else:
                self._mapping = mmap.mmap(descriptor, self.size, access=mmap.ACCESS_READ)
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def read_into(self, out: memoryview, offset: int) -> None:
        """Copy bytes out.

        Args:
            out: bytes, filled entirely.
            offset: of its first byte in the segment.

        Raises:
            OSError: the segment has become too short.
        """
        if self._mapping is not None:
            out[:] = memoryview(self._mapping)[offset : offset + len(out)]
            return
        assert self._descriptor is not None
        done = 0
        while done < len(out):  # one iteration, except for a signal between two pages
            count = os.preadv(self._descriptor, [out[done:]], offset + done)
            if count == 0:
                raise OSError(errno.EIO, "it was truncated after it was opened", self.name)
            done += count

    def close(self) -> None:
        """Close the segment. Safe to call twice."""
        if self._mapping is not None:
            self._mapping.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> SharedMemoryReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_orphans() -> int:
    """Remove the segments of killed creators and return how many.

    A creator holds a lock on its segment for as long as it lives, however it ends. Only Linux lists the names of
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
    except OSError:  # another user's, or just removed
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # its creator is alive
        return False
    finally:
        os.close(descriptor)
    return True


def _hold(descriptor: int) -> None:
    """Hold a lock that ends with this process. Linux only: macOS cannot lock shared memory."""
    if sys.platform == "linux":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _shm_open(name: str, flags: int, mode: int) -> int:
    try:
        import _posixshmem
    except ImportError as error:
        raise OSError(errno.ENOSYS, "this Python was built without shared memory") from error
    descriptor: int = _posixshmem.shm_open(name, flags, mode=mode)
    return descriptor


def _shm_unlink(name: str) -> None:
    import _posixshmem

    with contextlib.suppress(FileNotFoundError):
        _posixshmem.shm_unlink(name)


def _reserve(descriptor: int, size: int) -> None:
    """Set the size of a new segment and, on Linux, allocate its pages, so that no write can fail later.

    Raises:
        OSError: ENOSPC without enough room, EFBIG above the limit of this process.
    """
    if sys.platform != "linux":
        os.ftruncate(descriptor, size)
        return
    # Checked first: being refused by the kernel means filling all free memory and releasing it again.
    there = os.fstatvfs(descriptor)
    free = there.f_bavail * there.f_frsize
    if there.f_blocks > 0 and free < size:  # 0 blocks: no limit is set
        raise OSError(
            errno.ENOSPC, f"{size / 2**20:.1f} MiB are needed in {_LINUX_FOLDER}, {free / 2**20:.1f} MiB are free"
        )
    os.posix_fallocate(descriptor, 0, size)


def _size_of_own(name: str, descriptor: int) -> int:
    about = os.fstat(descriptor)
    if sys.platform == "linux" and not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is not a segment of shared memory", name)
    if about.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "it belongs to another user", name)
    if about.st_size == 0:  # its creator has not sized it yet
        raise OSError(errno.EINVAL, "it is empty", name)
    return about.st_size
