"""On-disk cache of built engines.

A TensorRT plan is native code: anyone who can write it can run anything. So plans live in one folder that only this
user can write to, are never read from anywhere else, and each carries the key it was built for and a checksum.
An entry that does not match its own label is removed and rebuilt.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine_bridge.errors import EngineError
from runtime import atomic

logger = logging.getLogger(__name__)

LIMIT_BYTES: Final = 4 << 30
WAIT_S: Final = 1800.0  # for another process building the same engine

_MAGIC: Final = b"bunraku-engine-1"
_HEAD: Final = struct.Struct("<16s32sI")
_SUFFIX: Final = ".engine"


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine was built from and for. Any difference makes another engine.

    Attributes:
        onnx_sha256: of the graph, lower-case hexadecimal.
        backend: name for `--engine`.
        backend_version: of the library.
        device: name of the GPU.
        compute_capability: of the GPU, for example `8.9`.
        driver: version of the driver.
        precision: of the engine.
        batches: batch sizes it is tuned for.
    """

    onnx_sha256: str
    backend: str
    backend_version: str
    device: str
    compute_capability: str
    driver: str
    precision: str
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        """A file name that differs where the key differs."""
        digest = hashlib.sha256(msgspec.json.encode(self)).hexdigest()
        return f"{self.backend}-{self.precision}-{digest[:32]}"


class EngineCache:
    """A folder of built engines; the least recently used are evicted when it exceeds its limit.

    Attributes:
        folder: location.
    """

    def __init__(self, folder: Path | None = None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """Create the folder if necessary.

        Args:
            folder: None for this user's cache folder, or the value of the variable BUNRAKU_ENGINE_CACHE.
            limit_bytes: maximum size of all entries together.

        Raises:
            EngineError: the folder cannot be created, or others may write to it.
        """
        self.folder = folder or default_folder()
        self._limit = limit_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_private(self.folder)
        except OSError as error:
            raise EngineError(
                f"Built engines cannot be kept in {self.folder}: {error.strerror or error}. "
                "Fix its permissions, or set BUNRAKU_ENGINE_CACHE to another folder."
            ) from error

    def get(self, key: CacheKey) -> bytes | None:
        """Return the engine for this key, or None if the cache has no valid one."""
        path = self._path(key)
        try:
            blob = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s cannot be read (%s) and will be rebuilt", path, error.strerror or error)
            return None
        data = _open(blob, key)
        if data is None:
            logger.warning("%s is damaged or was built for something else; it will be built again", path)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return data

    def put(self, key: CacheKey, data: bytes) -> None:
        """Store an engine atomically, evicting older ones to make room.

        Raises:
            SinkError: the disk is full or the folder cannot be written to. Existing entries are untouched.
        """
        label = msgspec.json.encode(key)
        digest = hashlib.sha256(label + data).digest()
        with atomic.replacing(self._path(key)) as part:
            part.write_bytes(_HEAD.pack(_MAGIC, digest, len(label)) + label + data)
            part.chmod(0o600)
        self._make_room(self._path(key))

    def forget(self, key: CacheKey) -> None:
        """Remove an engine that its library refused."""
        self._path(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def building(self, key: CacheKey) -> Iterator[None]:
        """Hold the lock for building this engine; a second process waits, and then finds it built.

        Raises:
            EngineError: another process has been building it for longer than `WAIT_S`.
        """
        import filelock

        lock = filelock.FileLock(self._path(key).with_suffix(".lock"), timeout=WAIT_S)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise EngineError(
                f"Another process has been building {key.name} for more than {WAIT_S / 60:.0f} minutes. "
                f"Stop it, or remove {lock.lock_file}."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> list[tuple[CacheKey, int]]:
        """All entries with their sizes in bytes; least recently used first."""
        found = []
        for path in self._files():
            with contextlib.suppress(OSError, msgspec.DecodeError, struct.error), path.open("rb") as file:
                magic, _, size = _HEAD.unpack(file.read(_HEAD.size))
                if magic == _MAGIC:
                    found.append((msgspec.json.decode(file.read(size), type=CacheKey), path.stat().st_size))
        return found

    def _path(self, key: CacheKey) -> Path:
        return self.folder / f"{key.name}{_SUFFIX}"

    def _files(self) -> list[Path]:
        aged = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                aged.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(aged)]

    def _make_room(self, keep: Path) -> None:
        sizes = {}
        for path in self._files():
            with contextlib.suppress(OSError):
                sizes[path] = path.stat().st_size
        total = sum(sizes.values())
        for path, size in sizes.items():
            if total <= self._limit:
                return
            if path != keep:
                logger.info("removing %s, the least recently used, to keep built engines under the limit", path)
                path.unlink(missing_ok=True)
                total -= size


def default_folder() -> Path:
    """Default cache folder of this user."""
    import platformdirs

    chosen = os.environ.get("BUNRAKU_ENGINE_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("bunraku") / "engines"


def _open(blob: bytes, key: CacheKey) -> bytes | None:
    """The engine inside, if the file is intact and made for this key."""
    if len(blob) < _HEAD.size:
        return None
    magic, digest, size = _HEAD.unpack_from(blob)
    content = blob[_HEAD.size :]
    if magic != _MAGIC or hashlib.sha256(content).digest() != digest or content[:size] != msgspec.json.encode(key):
        return None
    return content[size:]


def _check_private(folder: Path) -> None:
    """Refuse a folder into which somebody else could put native code. Windows protects user folders by itself."""
    if sys.platform == "win32":
        return
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise PermissionError(0, "it belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "others may write to it")
