"""This machine: processor, memory, versions, and how many of its threads to use."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

# How inference shares the machine. `shared`: beside a game; leaves cores free, and waits without spinning.
# `exclusive`: nothing else matters.
ThreadProfile = Literal["shared", "exclusive"]

_PACKAGES: Final = (
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-nv-tensorrt-rtx",
    "openvino",
    "tensorrt",
    "pyzmq",
    "msgspec",
    "pygame-ce",
)
# Instruction sets that decide how fast a network runs, by their Linux names.
_INSTRUCTIONS: Final = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
)


def usable_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def profile_threads(profile: ThreadProfile) -> int:
    """Number of inference threads: all cores, or all but two beside a game.

    At least two where there are two: on one, a 512 px character does not reach 60 frames a second.
    """
    cores = usable_cores()
    return cores if profile == "exclusive" else min(cores, max(2, cores - 2))


def give_way() -> None:
    """Run this thread at the lowest priority; does nothing where threads have no priority of their own."""
    if sys.platform == "linux":  # elsewhere it would affect the process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def instructions() -> tuple[str, ...]:
    """Relevant instruction sets of this processor; empty where the system does not report them."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return ()
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            known = set(line.partition(":")[2].split())
            return tuple(name for name in _INSTRUCTIONS if name in known)
    return ()


def processor() -> str:
    """The processor's name, as reported by the system."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Installed versions of what matters for speed; empty if missing."""
    return {package: _version(package) for package in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def describe() -> dict[str, object]:
    """Machine and versions as one record, for the JSON line of a measurement."""
    import psutil

    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
    }


def missing_display() -> str:
    """Why no window can be opened here; empty if one can."""
    if os.environ.get("SDL_VIDEODRIVER"):
        return ""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return ""


def seconds_since_process_start() -> float:
    """How long this process has been running, including the interpreter's start."""
    import psutil

    return max(0.0, time.time() - float(psutil.Process().create_time()))
