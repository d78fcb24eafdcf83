"""NVIDIA's own ONNX parser and the compiler of TensorRT-RTX, on a machine without driver or GPU.

    python -m tests.rtx_compiler model.onnx ...       # exit code 1 if one is not read and compiled

Two wheels from PyPI, 148 MB: the plugin for ONNX Runtime holds the parser and the compiler, the bindings of TensorRT 11
use them through small libraries that forward each call. That mix is unsupported, and only the calls below are
known to work: it is a check, and nothing that it compiles may ever be loaded. It shows that a graph is read, typed and
compiled, not that a kernel computes correctly or fast. Every model runs in its own process, because the compiler
crashes on some graphs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.tensorrt_stubs import BINDINGS
from tests.wheels import Unobtainable, cached_folder, compile_library, unpack

PLUGIN: Final = "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"
_MADE_BY: Final = 1  # increase when this file changes the folder
_FETCH_S: Final = 900.0
_MODEL_S: Final = 300.0
_LARGEST_BATCH: Final = 8

_OPEN: Final = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
static void* found(const char* name) {
    static void* library;
    if (!library) library = dlopen(getenv("%s"), RTLD_NOW | RTLD_GLOBAL);
    if (!library) { fprintf(stderr, "%%s\\n", dlerror()); abort(); }
    return dlsym(library, name);
}
"""
# Versions are replaced by the library's own: the bindings would ask for theirs.
_LIBRARIES: Final = {
    "libnvinfer.so.11": _OPEN % "RTX_LIBRARY"
    + """
static int version(void) { return ((int (*)(void))found("getInferLibVersion"))(); }
void* createInferBuilder_INTERNAL(void* log, int v) {
    return ((void* (*)(void*, int))found("createInferBuilder_INTERNAL"))(log, version());
}
void* createInferRuntime_INTERNAL(void* log, int v) { return 0; }
void* createInferRefitter_INTERNAL(void* engine, void* log, int v) { return 0; }
void* getBuilderPluginRegistry(int c) { return ((void* (*)(int))found("getBuilderPluginRegistry"))(c); }
void* getPluginRegistry(void) { return ((void* (*)(void))found("getPluginRegistry"))(); }
""",
    "libnvonnxparser.so.11": _OPEN % "RTX_PARSER"
    + """
int getNvOnnxParserVersion(void) { return ((int (*)(void))found("getNvOnnxParserVersion"))(); }
void* createNvOnnxParser_INTERNAL(void* network, void* log, int v) {
    return ((void* (*)(void*, void*, int))found("createNvOnnxParser_INTERNAL"))(network, log, getNvOnnxParserVersion());
}
void* createNvOnnxParserRefitter_INTERNAL(void* network, void* log, int v) { return 0; }
""",
    "libnvinfer_plugin.so.11": "int initLibNvInferPlugins(void* log, const char* name) { return 1; }\n",
}


def rtx_compiler() -> Path:
    """The folder that `compile_onnx` takes.

    Raises:
        Unobtainable: the message says what is missing.
    """
    versions = "-".join(requirement.partition("==")[2] for requirement in (PLUGIN, BINDINGS))
    return cached_folder(f"rtx-compiler-{versions}-py{sys.version_info[0]}{sys.version_info[1]}-{_MADE_BY}", _make)


def compile_onnx(folder: Path, model: Path) -> str:
    """Read and compile one model.

    Returns:
        Result: layers, inputs, outputs and size.

    Raises:
        ValueError: it is refused, or the compiler crashed.
    """
    return run_inside(folder, ["tests.rtx_compiler", "--inside", str(model)])


def run_inside(folder: Path, module: list[str]) -> str:
    """Output of a module, in a process where `import tensorrt` gives the mix.

    Args:
        folder: from `rtx_compiler`.
        module: name and arguments.

    Raises:
        ValueError: it failed or crashed.
    """
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "PYTHONPATH": os.pathsep.join([str(folder / "python"), str(Path(__file__).resolve().parents[1])]),
        "RTX_LIBRARY": str(folder / "lib" / "libtensorrt_rtx.so.1"),
        "RTX_PARSER": str(folder / "lib" / "libtensorrt_onnxparser_rtx.so.1"),
    }
    command = [sys.executable, "-m", *module]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_MODEL_S, check=False, errors="replace"
    )
    if done.returncode < 0:
        raise ValueError(f"{module[-1]}: the compiler crashed with signal {-done.returncode}")
    if done.returncode:
        raise ValueError(f"{module[-1]}: {done.stdout}{done.stderr[-1000:]}")
    return done.stdout.strip()


def _make(out: Path) -> None:
    wheel, lib, python = out.with_name("wheel"), out / "lib", out / "python"
    lib.mkdir(parents=True)
    python.mkdir()
    for name, source in _LIBRARIES.items():
        compile_library(source, lib / name)
    unpack(BINDINGS, out.with_name("bindings"), timeout_s=_FETCH_S)
    (out.with_name("bindings") / "tensorrt_bindings").rename(python / "tensorrt")
    unpack(PLUGIN, wheel, timeout_s=_FETCH_S)
    for library in ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so"):
        found = next((wheel / "onnxruntime_ep_nv_tensorrt_rtx").glob(f"{library}.*"))
        found.rename(lib / f"{library}.1")


def _inside(model: Path) -> int:
    """Read and compile in this process, which sees the forwarding libraries."""
    import tensorrt as trt

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            # 35 is the missing driver, which compiling ahead of time does not need.
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR) and "Error 35" not in msg:
                self.errors.append(msg)

    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model.read_bytes()):
        print("not read:", *(parser.get_error(i).desc() for i in range(parser.num_errors)), sep="\n  ")  # noqa: T201
        return 1
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    for tensor in inputs:
        shapes = [tuple(n if size == -1 else size for size in tensor.shape) for n in (1, 1, _LARGEST_BATCH)]
        profile.set_shape(tensor.name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        print("not compiled:", *log.errors[:3], sep="\n  ")  # noqa: T201
        return 1
    ends = [*inputs, *(network.get_output(i) for i in range(network.num_outputs))]
    named = ", ".join(f"{tensor.name} {tensor.dtype.name} {list(tensor.shape)}" for tensor in ends)
    print(f"{network.num_layers} layers, {named}, {plan.nbytes} bytes")  # noqa: T201
    return 0


def main(arguments: list[str]) -> int:
    """Check files."""
    if arguments[:1] == ["--inside"]:
        code = _inside(Path(arguments[1]))
        sys.stdout.flush()
        os._exit(code)  # unloading the mixed libraries is one of the calls that are not known to work
    try:
        folder = rtx_compiler()
    except Unobtainable as reason:
        print(f"No compiler: {reason}")  # noqa: T201
        return 1
    failed = False
    for name in arguments:
        try:
            print(f"{name}: {compile_onnx(folder, Path(name))}")  # noqa: T201
        except ValueError as reason:
            failed = True
            print(reason)  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
