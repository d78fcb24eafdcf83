"""Clients of the bridge as processes: the programs link_peer.py and link_peer.cpp, and their output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.native_build import NATIVE, native_library

PROGRAMS = REPOSITORY / "tests" / "end_to_end"
PATIENCE_S = 60.0
LONG = os.environ.get("BUNRAKU_TEST_LONG") == "1"
only_long = pytest.mark.skipif(not LONG, reason="takes many minutes; BUNRAKU_TEST_LONG=1 runs it")


class LinkPeer:
    """One client. All its output is read; the last line counts."""

    def __init__(self, command: list[str | Path], *endpoints: str) -> None:
        self.process = subprocess.Popen(
            [*command, *endpoints], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._told: dict[str, Any] = {}
        self._lines = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> int:
        """Number of output lines."""
        return self._lines

    @property
    def told(self) -> dict[str, Any]:
        """The last line."""
        return self._told

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> float:
        """Wait for a future line; returns the seconds that took."""
        begun, seen = time.monotonic(), self._lines
        while self._lines == seen or not condition(self._told):
            assert self.process.poll() is None, f"it died: {self.process.returncode}, {self._errors()}"
            assert time.monotonic() - begun < PATIENCE_S, f"it never came true: {self._told}"
            time.sleep(0.01)
        return time.monotonic() - begun

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()

    def _errors(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read()[-2000:]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._told = json.loads(line)
            self._lines += 1


def is_live(told: dict[str, Any]) -> bool:
    """Whether a peer receives frames and answers."""
    return told["frames"] == told["control"] == "live"


def python_peer(*arguments: str) -> LinkPeer:
    """The client in Python."""
    return LinkPeer([sys.executable, "-u", PROGRAMS / "link_peer.py"], *arguments)


def native_peer(folder: Path, *endpoints: str) -> LinkPeer:
    """The client in C++, compiled into a folder; skips where the library cannot be built."""
    library = native_library()
    program = folder / "link_peer"
    if not program.exists():
        compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"
        source = PROGRAMS / "link_peer.cpp"
        command = [compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE / 'include'}", source]
        command += ["-o", program, library, f"-Wl,-rpath,{library.parent}", "-pthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    return LinkPeer([program], *endpoints)
