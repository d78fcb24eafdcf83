"""What NVIDIA driver and which GPUs this machine has. Knows the driver's C interface, nothing of engines.

Asked before anything of TensorRT is touched: without a driver, TensorRT 11 hands out a runtime that crashes the process
when it is used. So nothing is imported here; the driver's library is loaded by ctypes, and no question ever raises.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LIBRARIES: Final = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")

# Of CUresult and CUdevice_attribute in cuda.h; they never change.
_NO_DEVICE: Final = 100
_CAPABILITY_MAJOR: Final = 75
_CAPABILITY_MINOR: Final = 76
_NAME_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as the driver tells it, for example `NVIDIA GeForce RTX 4090`.
        compute_capability: for example `8.9`.
        memory_bytes: all of it, whether free or not.
    """

    name: str
    compute_capability: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class CudaDriver:
    """What the driver answered.

    Attributes:
        missing: why there is no GPU to compute on, and what to do; empty if there is one.
        version: the newest CUDA that the driver runs, for example `13.0`; empty if it did not say.
        gpus: in the order in which CUDA counts them, the first is the one that engines use.
    """

    missing: str
    version: str = ""
    gpus: tuple[Gpu, ...] = ()


@functools.cache
def cuda_driver() -> CudaDriver:
    """The driver of this machine; asked once per process."""
    return ask(_LIBRARIES)


def ask(libraries: Sequence[str]) -> CudaDriver:
    """Ask the first of these libraries that can be loaded; never raises.

    Args:
        libraries: names or paths, as the system's loader takes them.
    """
    for name in libraries:
        try:
            return _examine(ctypes.CDLL(name))
        except OSError:
            continue
        except AttributeError as error:
            return CudaDriver(f"{name} is no NVIDIA driver that this release knows ({error}); update the driver")
    return CudaDriver("no NVIDIA driver here; it needs an NVIDIA GPU with its driver installed")


def _examine(library: ctypes.CDLL) -> CudaDriver:
    number = ctypes.c_int(0)
    code = library.cuInit(0)
    version = ""
    if library.cuDriverGetVersion(ctypes.byref(number)) == 0:
        version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    if code == _NO_DEVICE or (code == 0 and library.cuDeviceGetCount(ctypes.byref(number)) == 0 and number.value == 0):
        return CudaDriver("the NVIDIA driver sees no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES", version)
    if code != 0:
        return CudaDriver(f"the NVIDIA driver does not start (cuInit answered {code}); look at nvidia-smi", version)
    gpus = tuple(gpu for gpu in (_gpu(library, ordinal) for ordinal in range(number.value)) if gpu)
    if not gpus:
        return CudaDriver("the NVIDIA driver does not tell what its GPUs are; look at nvidia-smi", version)
    return CudaDriver("", version, gpus)


def _gpu(library: ctypes.CDLL, ordinal: int) -> Gpu | None:
    """One GPU, or None if the driver does not answer for it."""
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
