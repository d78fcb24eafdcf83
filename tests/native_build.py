"""Locates the native client for tests: the library named by `BUNRAKU_NATIVE_LIBRARY`, or one built here, once."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parents[1]
NATIVE = REPOSITORY / "engine_bridge" / "native"
CACHE = Path.home() / ".cache" / "bunraku-tests"
LIBRARY_NAME = {"win32": "bunraku_client.dll", "darwin": "libbunraku_client.dylib"}.get(
    sys.platform, "libbunraku_client.so"
)
BUILD_TIMEOUT_S = 900


def native_library() -> Path:
    """The native client as a shared library; skips the test, with a reason, where it cannot be built.

    `BUNRAKU_NATIVE_LIBRARY` names an existing library. Without it the sources of this checkout are built
    into `~/.cache/bunraku-tests/native-<hash of the sources>`, once for all processes.

    Raises:
        AssertionError: `BUNRAKU_NATIVE_LIBRARY` is not a file, or the build fails.
    """
    named = os.environ.get("BUNRAKU_NATIVE_LIBRARY")
    if named:
        library = Path(named).resolve()
        assert library.is_file(), f"BUNRAKU_NATIVE_LIBRARY={named} is not a file. Name the library itself, or unset it."
        return library
    folder = CACHE / f"native-{_hash_of_sources()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        built = _find(folder)
        if built is None:
            _skip_without_tools()
            _build(folder)
            built = _find(folder)
    assert built is not None, f"the build in {folder} left no {LIBRARY_NAME}"
    return built


def _find(folder: Path) -> Path | None:
    """The finished library. An interrupted build leaves no mark and is redone."""
    if not (folder / "finished").is_file():
        return None
    return next(iter(sorted(folder.rglob(LIBRARY_NAME))), None)


def _hash_of_sources() -> str:
    digest = hashlib.sha256(sys.platform.encode())
    files = [REPOSITORY / "CMakeLists.txt", *(path for path in NATIVE.rglob("*") if path.is_file())]
    for path in sorted(files):
        digest.update(path.relative_to(REPOSITORY).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _skip_without_tools() -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed, so the native client cannot be built")
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]
    compiler = next((name for name in names if name and shutil.which(shlex.split(name)[0])), None)
    if compiler is None:
        pytest.skip("no C++ compiler is installed, so the native client cannot be built")
    if sys.platform == "win32":
        return  # where headers are is CMake's business there
    probe = subprocess.run(
        [*shlex.split(compiler), "-x", "c++", "-E", "-"],
        input=b"#include <zmq.h>\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    if probe.returncode != 0:
        pytest.skip("the headers of libzmq (libzmq3-dev) are not installed, so the native client cannot be built")


def _build(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    configure: list[str | Path] = [
        "cmake",
        "-S",
        REPOSITORY,
        "-B",
        folder,
        "-DBUNRAKU_NATIVE=ON",
        "-DCMAKE_BUILD_TYPE=Release",
    ]
    build: list[str | Path] = [
        "cmake",
        "--build",
        folder,
        "--config",
        "Release",
        "--parallel",
        "2",
        "--target",
        "bunraku_client",
    ]
    for command in (configure, build):
        done = subprocess.run(
            [os.fspath(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout[-8000:]}"
    (folder / "finished").touch()
