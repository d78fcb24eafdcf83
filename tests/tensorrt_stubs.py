"""Type stubs of the real TensorRT Python package, generated on a machine without TensorRT, driver or GPU.

    python -m tests.tensorrt_stubs        # prints the folders, for MYPYPATH

NVIDIA's wheel of bindings is on PyPI, small, and needs the libraries only for loading: nine functions. Three libraries
of empty functions let it be imported, and pybind11-stubgen then reads the signatures out of its docstrings. Nothing may
be called on them. The stubs are derived from a proprietary wheel, so they stay in this user's cache and are never
committed or redistributed.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.wheels import Unobtainable, cached_folder, compile_library, unpack

BINDINGS: Final = "tensorrt_cu13_bindings==11.4.0.106"
BINDINGS_10: Final = "tensorrt_cu13_bindings==10.16.1.11"
STUBGEN: Final = "pybind11-stubgen==3.0.0"
_MADE_BY: Final = 1  # increase when this file changes the stubs
_FETCH_S: Final = 60.0

_EMPTY_LIBRARIES: Final = {
    "libnvinfer.so": (
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
    ),
    "libnvonnxparser.so": (
        "createNvOnnxParser_INTERNAL",
        "createNvOnnxParserRefitter_INTERNAL",
        "getNvOnnxParserVersion",
    ),
    "libnvinfer_plugin.so": ("initLibNvInferPlugins",),
}
# Enumerations that appear as default values, which stubgen cannot place by itself.
_ENUMERATIONS: Final = {
    "DataType": "tensorrt.tensorrt",
    "EngineStat": "tensorrt.tensorrt",
    "ExecutionContextAllocationStrategy": "tensorrt.tensorrt",
    "PluginFieldType": "tensorrt.tensorrt",
    "Severity": "tensorrt.tensorrt.ILogger",
}
# C++ names that stayed in signatures, and what Python calls them.
_PYTHON_NAMES: Final = {
    "IBuilder": "Builder",
    "IParser": "OnnxParser",
    "IParserError": "ParserError",
    "IRefitter": "Refitter",
    "IRuntime": "Runtime",
    "ILogger::Severity": "ILogger.Severity",
}
# pybind11 converts these, which the docstrings do not show.
_CONVERTED: Final = {"Dims": "collections.abc.Sequence[int]", "Weights": "numpy.ndarray"}
_ADDED_METHODS: Final = {
    "Dims": "def __iter__(self) -> collections.abc.Iterator[int]: ...",
    "IHostMemory": "def __buffer__(self, flags: int, /) -> memoryview: ...",
}
_PACKAGE: Final = """# mypy: ignore-errors
from typing import Any
from .tensorrt import *
from . import tensorrt as _t
__version__: str
def nptype(trt_type: _t.DataType) -> type[Any]: ...
"""


def tensorrt_stubs(bindings: str) -> Path:
    """The folder for MYPYPATH.

    Args:
        bindings: `BINDINGS` or `BINDINGS_10`.

    Raises:
        Unobtainable: the message says what is missing.
    """
    version = f"{sys.version_info[0]}{sys.version_info[1]}"
    name = f"tensorrt-stubs-{bindings.partition('==')[2]}-py{version}-{_MADE_BY}"
    return cached_folder(name, functools.partial(_make, bindings))


def _make(bindings: str, out: Path) -> None:
    work = out.with_name("work")
    work.mkdir(parents=True)
    major = bindings.partition("==")[2].split(".")[0]
    for name, functions in _EMPTY_LIBRARIES.items():
        source = "".join(f"void* {function}(void) {{ return 0; }}\n" for function in functions)
        compile_library(source, work / f"{name}.{major}")
    unpack(bindings, work / "wheel", timeout_s=_FETCH_S)
    unpack(STUBGEN, work / "stubgen", timeout_s=_FETCH_S)
    shutil.copytree(work / "wheel" / "tensorrt_bindings", work / "python" / "tensorrt")
    raw = _run_stubgen(work)
    package = out / "tensorrt"
    package.mkdir(parents=True)
    (package / "tensorrt.pyi").write_text(mended(raw, bindings), encoding="utf-8")
    (package / "__init__.pyi").write_text(_PACKAGE, encoding="utf-8")
    (package / "py.typed").touch()


def _run_stubgen(work: Path) -> str:
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(work),
        "PYTHONPATH": os.pathsep.join([str(work / "python"), str(work / "stubgen")]),
    }
    options = ["--print-invalid-expressions-as-is", "--numpy-array-remove-parameters"]
    for name, place in _ENUMERATIONS.items():
        options += ["--enum-class-locations", f"{name}:{place}"]
    command = [sys.executable, "-m", "pybind11_stubgen", "tensorrt.tensorrt", "-o", str(work / "raw"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        raise Unobtainable(f"pybind11-stubgen fails: {done.stderr[-500:]}")
    return (work / "raw" / "tensorrt" / "tensorrt.pyi").read_text(encoding="utf-8")


def mended(raw: str, bindings: str) -> str:
    """Convert stubgen's output to Python: it leaves C++ names, enumerations as `<...>` and reserved words."""
    classes = set(re.findall(r"^class (\w+)", raw, re.MULTILINE))

    def python_name(found: re.Match[str]) -> str:
        name = _PYTHON_NAMES.get(found[1], found[1])
        return name if name.split(".")[0] in classes else "typing.Any"

    text = re.sub(r"nv(?:infer1|onnxparser)::(?:v_\d_\d::)?([A-Za-z_]\w*(?:::\w+)?)", python_name, raw)
    text = re.sub(r"<([A-Za-z_][\w.]*): [^>]*>", r"\1", text)
    text = re.sub(r"detail::[\w:<> ]+(?=:)", "typing.Any", text)
    text = re.sub(r"\bin: ", "in_: ", text)
    # An argument without a default after one with a default.
    text = text.replace("channel_axis: typing.SupportsInt)", "channel_axis: typing.SupportsInt = ...)")
    text = re.sub(r"^import tensorrt(\.tensorrt)?\n", "", text.replace("tensorrt.tensorrt.", ""), flags=re.MULTILINE)
    tree = _Mend().visit(ast.parse(text))
    future = next(i for i, node in enumerate(tree.body) if isinstance(node, ast.ImportFrom))
    tree.body.insert(future + 1, ast.Import([ast.alias("builtins")]))
    return f"# mypy: ignore-errors\n# generated from {bindings}\n{ast.unparse(ast.fix_missing_locations(tree))}\n"


class _Mend(ast.NodeTransformer):
    """Fixes that need the syntax tree: names that hide builtins, hidden conversions, missing methods, docstrings."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in ("bool", "float") and isinstance(node.ctx, ast.Load):
            return ast.Attribute(ast.Name("builtins", ast.Load()), node.id, ast.Load())
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = [ast.Expr(ast.Constant(...))]
        arguments = node.args.posonlyargs + node.args.args
        if arguments and arguments[0].arg == "self":
            arguments[0].annotation = None
        for argument in arguments + node.args.kwonlyargs:
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id in _CONVERTED:
                name = argument.annotation.id
                argument.annotation = ast.parse(f"{name} | {_CONVERTED[name]}", mode="eval").body
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        kept = [part for part in node.body if not isinstance(part, ast.Expr)]
        if node.name in _ADDED_METHODS:
            kept += ast.parse(_ADDED_METHODS[node.name]).body
        node.body = kept or [ast.Expr(ast.Constant(...))]
        return node


if __name__ == "__main__":
    try:
        print(tensorrt_stubs(BINDINGS), tensorrt_stubs(BINDINGS_10), sep="\n")  # noqa: T201
    except Unobtainable as reason:
        sys.exit(f"No stubs: {reason}")
