"""The composite in C, without a compiler: libraries that lie in `lib`, built by `build`, called through ctypes.

Knows `kernel.c` and its structure.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from .base import CLEAR, SOLID, Composite, Floats
from .references import Pixels, References

VERSION: Final = 2  # of the structure below
LIBRARIES: Final = Path(__file__).parent / "lib"
# (sys.platform, machine in lower case) -> the file in `lib`, and what `build` calls the target.
TARGETS: Final = {
    ("linux", "x86_64"): ("linux-x86_64.so", "x86_64-linux-gnu.2.17"),
    ("linux", "aarch64"): ("linux-aarch64.so", "aarch64-linux-gnu.2.17"),
    ("win32", "amd64"): ("windows-x86_64.dll", "x86_64-windows-gnu"),
    ("darwin", "x86_64"): ("macos-x86_64.dylib", "x86_64-macos"),
    ("darwin", "arm64"): ("macos-arm64.dylib", "aarch64-macos"),
}


class _Picture(ctypes.Structure):
    _fields_ = (
        ("flow", ctypes.c_void_p),
        ("planes", ctypes.c_void_p),
        ("references", ctypes.c_void_p),
        ("occupied", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("size", ctypes.c_int32),
        ("planes_px", ctypes.c_int32),
        ("clear", ctypes.c_float),
        ("gain", ctypes.c_float),
    )


@functools.cache
def unavailable() -> str:
    """Why the kernel cannot be used here; empty if it can."""
    try:
        _library()
    except OSError as error:
        return str(error)
    return ""


class NativeComposite(Composite):
    """The kernel, each thread on a share of the rows. Threads are the owner's until `close`."""

    name = "kernel"

    def __init__(self, threads: int) -> None:
        """Begin.

        Args:
            threads: that draw, the caller's own among them.

        Raises:
            OSError: there is no kernel for this machine; see `unavailable`.
        """
        library = _library()
        self._rows, self._bleed = library.bunraku_composite_rows, library.bunraku_composite_bleed
        self._threads = max(1, threads)
        self._others = (
            ThreadPoolExecutor(self._threads - 1, thread_name_prefix="bunraku-composite") if threads > 1 else None
        )

    def close(self) -> None:
        """Let go of threads. Safe to call twice."""
        if self._others is not None:
            self._others.shutdown()

    def _draw(self, references: References, flow: Floats, planes: Floats, out: Pixels) -> None:
        size = references.size
        picture = ctypes.byref(
            _Picture(
                flow.ctypes.data,
                planes.ctypes.data,
                references.pixels.ctypes.data,
                references.occupied.ctypes.data,
                out.ctypes.data,
                size,
                planes.shape[-1],
                CLEAR,
                1 / (SOLID - CLEAR),
            )
        )
        self._shared(size, lambda first, end: self._rows(picture, first, end))
        self._shared(size, lambda first, end: self._bleed(out.ctypes.data, size, first, end))

    def _shared(self, rows: int, work: Callable[[int, int], None]) -> None:
        """Have every thread do its share of the rows; returns when all are done."""
        edges = [rows * index // self._threads for index in range(self._threads + 1)]
        others = (
            []
            if self._others is None
            else [self._others.submit(work, edges[index], edges[index + 1]) for index in range(1, self._threads)]
        )
        work(edges[0], edges[1])
        for other in others:
            other.result()


@functools.cache
def _library() -> ctypes.CDLL:
    """Load the kernel.

    Raises:
        OSError: there is none for this machine, or it does not fit.
    """
    machine = (sys.platform, platform.machine().lower())
    if machine not in TARGETS:
        raise OSError(f"there is no kernel for {machine[0]} on {machine[1]}")
    file = LIBRARIES / TARGETS[machine][0]
    library = ctypes.CDLL(str(file))
    if library.bunraku_composite_version() != VERSION:
        raise OSError(f"{file} is of another version; install Bunraku again")
    for rows in (library.bunraku_composite_rows, library.bunraku_composite_rows_of_any):
        rows.argtypes, rows.restype = (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32), None
    bleed = library.bunraku_composite_bleed
    bleed.argtypes, bleed.restype = (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32), None
    return library
