"""The NVIDIA driver and GPUs of this machine, through the driver's C interface.

Queried before anything of TensorRT is touched: without a driver, TensorRT 11 returns a runtime that crashes the process
when used. So nothing is imported here; the driver's library is loaded by ctypes, and no query ever raises.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LIBRARIES: Final = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")

# CUresult and CUdevice_attribute from cuda.h; they never change.
_NO_DEVICE: Final = 100
_CAPABILITY_MAJOR: Final = 75
_CAPABILITY_MINOR: Final = 76
_NAME_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: reported by the driver, for example `NVIDIA GeForce RTX 4090`.
        compute_capability: for example `8.9`.
        memory_bytes: total, whether free or not.
    """

    name: str
    compute_capability: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class CudaDriver:
    """The driver's answers.

    Attributes:
        missing: why no GPU can be used, and what to do; empty if one can.
        version: the newest CUDA that the driver supports, for example `13.0`; empty if unknown.
        gpus: in CUDA's order; engines use the first.
    """

    missing: str
    version: str = ""
    gpus: tuple[Gpu, ...] = ()


@functools.cache
def cuda_driver() -> CudaDriver:
    """The driver of this machine; queried once per process."""
    return ask(_LIBRARIES)


def ask(libraries: Sequence[str]) -> CudaDriver:
    """Query the first of these libraries that can be loaded; never raises.

    Args:
        libraries: names or paths, as the system's loader takes them.
    """
    for name in libraries:
        try:
            return _examine(ctypes.CDLL(name))
        except OSError:
            continue
        except AttributeError as error:
            return CudaDriver(f"{name} is not an NVIDIA driver known to this release ({error}); update the driver")
    return CudaDriver("no NVIDIA driver here; it needs an NVIDIA GPU with its driver installed")


def _examine(library: ctypes.CDLL) -> CudaDriver:
    number = ctypes.c_int(0)
    code = library.cuInit(0)
    version = ""
    if library.cuDriverGetVersion(ctypes.byref(number)) == 0:
        version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    if code == _NO_DEVICE or (code == 0 and library.cuDeviceGetCount(ctypes.byref(number)) == 0 and number.value == 0):
        return CudaDriver("the NVIDIA driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES", version)
    if code != 0:
        return CudaDriver(f"the NVIDIA driver does not start (cuInit answered {code}); check nvidia-smi", version)
    gpus = tuple(gpu for gpu in (_gpu(library, ordinal) for ordinal in range(number.value)) if gpu)
    if not gpus:
        return CudaDriver("the NVIDIA driver does not report its GPUs; check nvidia-smi", version)
    return CudaDriver("", version, gpus)


def _gpu(library: ctypes.CDLL, ordinal: int) -> Gpu | None:
    """Query one GPU; None if the driver does not answer."""
    device, major, minor = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    name, memory = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_size_t(0)
    answers = (
        library.cuDeviceGet(ctypes.byref(device), ordinal),
        library.cuDeviceGetName(name, _NAME_BYTES, device),
        library.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        library.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
        library.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
    )
    if any(answers):
        return None
    return Gpu(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", memory.value)
