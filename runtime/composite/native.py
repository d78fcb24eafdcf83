"""The compositor in C, without a compiler: prebuilt libraries in `lib`, called through ctypes.

See `kernel.c` for the functions and the structure, and `build` for how they are compiled.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from .base import CLEAR, SOLID, Composite, Floats
from .references import Pixels, References

VERSION: Final = 4  # of the functions and the structure below
BAND: Final = 16  # rows that a thread draws at a time
LIBRARIES: Final = Path(__file__).parent / "lib"
# (sys.platform, machine in lower case) -> the file in `lib`, and `build`'s name for the target.
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
    """The kernel, on one or more threads. Threads are held until `close`."""

    name = "kernel"

    def __init__(self, threads: int) -> None:
        """Start the threads.

        Args:
            threads: that draw, including the caller's own.

        Raises:
            OSError: there is no kernel for this machine; see `unavailable`.
        """
        self._share = _library().bunraku_composite_draw
        self._others = ThreadPoolExecutor(threads - 1, thread_name_prefix="bunraku-composite") if threads > 1 else None
        self._threads = max(1, threads)

    def close(self) -> None:
        """Release threads. Safe to call twice."""
        if self._others is not None:
            self._others.shutdown()

    def _draw(self, references: References, flow: Floats, planes: Floats, out: Pixels) -> None:
        picture = ctypes.byref(
            _Picture(
                flow.ctypes.data,
                planes.ctypes.data,
                references.pixels.ctypes.data,
                references.occupied.ctypes.data,
                out.ctypes.data,
                references.size,
                planes.shape[-1],
                CLEAR,
                1 / (SOLID - CLEAR),
            )
        )
        # Threads take band after band, so that none waits for one with more of the figure in its rows.
        bands = (ctypes.c_int32 * (1 + references.size // BAND))()
        others = (
            []
            if self._others is None
            else [self._others.submit(self._share, picture, bands) for _ in range(self._threads - 1)]
        )
        self._share(picture, bands)
        for other in others:
            other.result()


@functools.cache
def _library() -> ctypes.CDLL:
    """Load the kernel.

    Raises:
        OSError: there is none for this machine, or its version differs.
    """
    machine = (sys.platform, platform.machine().lower())
    if machine not in TARGETS:
        raise OSError(f"there is no kernel for {machine[0]} on {machine[1]}")
    file = LIBRARIES / TARGETS[machine][0]
    library = ctypes.CDLL(str(file))
    if library.bunraku_composite_version() != VERSION:
        raise OSError(f"{file} has another version; install Bunraku again")
    for draw in (library.bunraku_composite_draw, library.bunraku_composite_draw_of_any):
        draw.argtypes, draw.restype = (ctypes.c_void_p, ctypes.c_void_p), None
    return library
