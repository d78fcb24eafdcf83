"""A real Godot 3 on its own display, with the addon in a small project that tests drive."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

PATIENCE_S = 90.0
ADDON = REPOSITORY / "engine_bridge" / "godot" / "addons" / "bunraku"
PROJECT = REPOSITORY / "tests" / "godot" / "project3"


def need_godot() -> None:
    """Skip where there is no Godot 3 or no X server to show it on."""
    for program, package in (("godot3", "godot3"), ("Xvfb", "xvfb")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian package {package})")


class Display:
    """An X server that renders to memory."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self._process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
            pass_fds=[write_end],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(write_end)
        with os.fdopen(read_end) as told:
            self.name = f":{told.readline().strip()}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)


def make_project(folder: Path, source: Path = PROJECT) -> Path:
    """Copy a project and the addon, following the instructions for Godot 3."""
    shutil.copytree(source, folder)
    shutil.copytree(ADDON, folder / "addons" / "bunraku", ignore=shutil.ignore_patterns("godot4"))
    return folder


def start_godot(
    project: Path, script: str | None, display: Display, log: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start Godot with a script instead of the project's scene, or with that; its output goes to `log`."""
    home = {"HOME": str(project), "XDG_DATA_HOME": str(project / "data"), "XDG_CONFIG_HOME": str(project / "config")}
    with log.open("wb") as output:
        return subprocess.Popen(
            [
                "godot3",
                "--path",
                str(project),
                "--audio-driver",
                "Dummy",
                *(["-s", f"res://{script}"] if script else []),
            ],
            env={**os.environ, **home, "DISPLAY": display.name, "LIBGL_ALWAYS_SOFTWARE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def run_godot(
    project: Path, script: str, display: Display, environment: dict[str, str], *, timeout_s: float = 240
) -> str:
    """Run a script to its end and return Godot's output; fails if it crashed or a script failed."""
    log = project / f"{script}.log"
    process = start_godot(project, script, display, log, environment)
    try:
        code = process.wait(timeout_s)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
    printed = log.read_text(encoding="utf-8", errors="replace")
    assert code == 0, printed[-2000:]
    assert "SCRIPT ERROR" not in printed, printed[-2000:]
    return printed


class Game:
    """A running `peer.gd` and its latest report."""

    def __init__(self, project: Path, display: Display) -> None:
        self._log = project / "game.log"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.settimeout(PATIENCE_S)
            port = {"BUNRAKU_TEST_PORT": str(listener.getsockname()[1])}
            self.process = start_godot(project, "peer.gd", display, self._log, port)
            self._connection, _ = listener.accept()
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.told: dict[str, Any] = {}

    def tell(self, *words: Any) -> None:
        """Send it a command; see `peer.gd`."""
        self._connection.sendall((json.dumps(words) + "\n").encode())

    def until(self, condition: Callable[[dict[str, Any]], Any], *, meanwhile: Callable[[], None] | None = None) -> Any:
        """Wait until its report satisfies a condition, and return it; `meanwhile` is called all the time."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if meanwhile is not None:
                meanwhile()
            try:
                self.told = self._lines.get(timeout=0.005)
            except queue.Empty:
                assert self.process.poll() is None, self.printed()
            else:
                with contextlib.suppress(KeyError):  # a report from before there was a receiver has no state
                    if condition(self.told):
                        return self.told
            assert time.monotonic() < deadline, f"it never came true; last {self.told}\n{self.printed()}"

    def forget(self) -> None:
        """Drop the reports so far."""
        while not self._lines.empty():
            self._lines.get()

    def printed(self) -> str:
        """Godot's output, without its complaints about the locale."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def close(self) -> None:
        """Stop it, cleanly if it still responds, and check that no script failed."""
        try:
            self.tell("quit")
            code = self.process.wait(PATIENCE_S)
        except OSError:
            code = self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self._connection.close()
            self._reader.join(PATIENCE_S)
        assert code == 0, self.printed()
        assert "SCRIPT ERROR" not in self.printed(), self.printed()

    def _read(self) -> None:
        with self._connection.makefile("r", encoding="utf-8") as lines:
            try:
                for line in lines:
                    self._lines.put(json.loads(line))
            except OSError:
                return
