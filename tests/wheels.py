"""Wheels that a check needs and no install should pull: fetched once, unpacked in the user's cache folder.

Knows pip and folders, not what is in the wheels.
"""

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
    """What is needed cannot be had here; the text says why."""


def cached_folder(name: str, fill: Callable[[Path], None]) -> Path:
    """A folder in the cache that `fill` has filled, now or in an earlier run; it appears whole or not at all.

    Args:
        name: changes whenever what is filled in changes.
        fill: is given an empty folder.

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
    """Fetch one wheel from the package index, without what it depends on, and unpack it.

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
    """Make a shared library from C, named as its file.

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
