"""Driver queries, on small fake libraries and on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.engines.cuda_driver import CudaDriver, Gpu, ask, cuda_driver
from tests.wheels import Unobtainable, compile_library

# Two GPUs; the second does not report its name where SILENT is set.
DRIVER = """
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int* version) { *version = 13020; return 0; }
int cuDeviceGetCount(int* count) { *count = COUNT; return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = 40 + ordinal; return 0; }
int cuDeviceGetName(char* name, int size, int device) {
    if (device == SILENT) return 101;
    strncpy(name, device == 40 ? "Large GPU" : "Small GPU", size);
    return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = attribute == 75 ? 8 : device - 31;
    return 0;
}
int cuDeviceTotalMem_v2(size_t* size, int device) { *size = (size_t)24 << 30; return 0; }
"""


def build(folder: Path, *, init: int = 0, count: int = 2, silent: int = 0) -> str:
    source = f"#define INIT {init}\n#define COUNT {count}\n#define SILENT {silent}\n{DRIVER}"
    return compile_or_skip(folder, source)


def compile_or_skip(folder: Path, source: str) -> str:
    path = folder / "libdriver.so"
    try:
        compile_library(source, path)
    except Unobtainable as reason:
        pytest.skip(f"no library to ask: {reason}")
    return str(path)


def test_no_driver_is_an_answer() -> None:
    found = ask(["libthere-is-no-such-driver.so.1"])
    assert found.missing.startswith("no NVIDIA driver here")
    assert found.gpus == ()


def test_it_names_version_and_gpus_in_order(tmp_path: Path) -> None:
    assert ask(["libthere-is-no-such-driver.so.1", build(tmp_path)]) == CudaDriver(
        "", "13.2", (Gpu("Large GPU", "8.9", 24 << 30), Gpu("Small GPU", "8.10", 24 << 30))
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"init": 100}, "sees no GPU"),
        ({"count": 0}, "sees no GPU"),
        ({"init": 803}, "cuInit answered 803"),
        ({"count": 1, "silent": 40}, "does not report its GPUs"),
    ],
)
def test_a_driver_without_a_usable_gpu_says_why(tmp_path: Path, answers: dict[str, int], said: str) -> None:
    found = ask([build(tmp_path, **answers)])
    assert said in found.missing
    assert "nvidia-smi" in found.missing
    assert found.gpus == ()
    assert found.version == "13.2"


def test_a_gpu_that_does_not_answer_is_left_out(tmp_path: Path) -> None:
    assert [gpu.name for gpu in ask([build(tmp_path, silent=41)]).gpus] == ["Large GPU"]


def test_a_library_that_is_not_a_driver_is_an_answer(tmp_path: Path) -> None:
    found = ask([compile_or_skip(tmp_path, "int unrelated(void) { return 0; }\n")])
    assert "not an NVIDIA driver known to this release" in found.missing


def test_this_machine_answers_and_is_asked_once() -> None:
    found = cuda_driver()
    assert bool(found.missing) != bool(found.gpus)
    assert cuda_driver() is found
