"""Wheels needed by a check but not by any install: fetched once, unpacked in the user's cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


class Unobtainable(Exception):
    """A requirement is unavailable here; the message says why."""


def cached_folder(name: str, fill: Callable[[Path], None]) -> Path:
    """A cached folder filled by `fill`, now or in an earlier run; created atomically.

    Args:
        name: changes whenever the contents change.
        fill: receives an empty folder.

    Raises:
        Unobtainable: from `fill`.
    """
    folder = platformdirs.user_cache_path("bunraku-tests") / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            fill(Path(made) / "new")
            try:
                (Path(made) / "new").rename(folder)
            except OSError:
                if not folder.is_dir():  # otherwise another run was faster
                    raise
    return folder


def unpack(requirement: str, into: Path, *, timeout_s: float) -> None:
    """Fetch one wheel from the package index, without its dependencies, and unpack it.

    Raises:
        Unobtainable: no network, or no wheel for this Python and system.
    """
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--retries=1"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise Unobtainable(f"{requirement} was not fetched within {timeout_s:.0f} s") from None
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise Unobtainable(f"{requirement} cannot be fetched: {said[-1] if said else done.stderr[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(into)


def compile_library(source: str, path: Path) -> None:
    """Build a shared library from C, named after its file.

    Raises:
        Unobtainable: no C compiler, or it fails.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if sys.platform != "linux" or compiler is None:
        raise Unobtainable("it needs Linux and a C compiler (cc)")
    code = path.with_suffix(".c")
    code.write_text(source, encoding="utf-8")
    command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", str(code), "-o", str(path), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unobtainable(f"{compiler} fails: {done.stderr[-300:]}")
