"""Reads the conformance kit, for tests of its clients. The format is documented in assets/conformance."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.conftest import REPOSITORY

KIT = REPOSITORY / "assets" / "conformance" / "v1"


@dataclass(frozen=True)
class Expected:
    """A message of a case: its parts, and the lines that a client should produce for it."""

    parts: list[bytes]
    keys: dict[str, str]
    rgba: bytes

    @property
    def result(self) -> str:
        return self.keys["result"]


@dataclass(frozen=True)
class Case:
    """One folder of the kit."""

    name: str
    topic: str
    needs: frozenset[str]
    messages: list[Expected]
    ring_name: str
    ring: bytes


def cases() -> list[Case]:
    return [_read(folder) for folder in sorted((KIT / "cases").iterdir())]


def _read(folder: Path) -> Case:
    lines = dict(line.split("=", 1) for line in (folder / "expect.txt").read_text(encoding="utf-8").splitlines())
    messages = []
    while f"{len(messages)}.result" in lines:
        prefix = f"{len(messages)}."
        numbered = sorted(folder.glob(f"{prefix}[0-9]*.bin"), key=lambda path: int(path.name.split(".")[1]))
        keys = {key.removeprefix(prefix): value for key, value in lines.items() if key.startswith(prefix)}
        rgba = folder / f"{prefix}rgba.bin"
        messages.append(
            Expected([path.read_bytes() for path in numbered], keys, rgba.read_bytes() if rgba.exists() else b"")
        )
    ring = folder / "ring.bin"
    return Case(
        folder.name,
        lines["topic"],
        frozenset(filter(None, lines.get("needs", "").split(","))),
        messages,
        lines.get("ring", ""),
        ring.read_bytes() if ring.exists() else b"",
    )


@contextlib.contextmanager
def ring_of(case: Case) -> Iterator[None]:
    """The case's ring of shared memory, under its name, for as long as the case runs. POSIX only.

    All cases share one name for it, so that parallel tests take turns.
    """
    if not case.ring:
        yield
        return
    assert sys.platform != "win32"
    import _posixshmem
    import fcntl

    with FileLock(Path(tempfile.gettempdir()) / "bunraku-conformance-ring.lock", timeout=120):
        descriptor = _posixshmem.shm_open(case.ring_name, os.O_CREAT | os.O_TRUNC | os.O_RDWR, mode=0o600)
        try:
            if sys.platform == "linux":
                fcntl.flock(descriptor, fcntl.LOCK_SH)  # otherwise a starting producer takes it for a dead one's
            os.write(descriptor, case.ring)
            yield
        finally:
            os.close(descriptor)
            _posixshmem.shm_unlink(case.ring_name)
