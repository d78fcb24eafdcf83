"""Shared fixtures: a free endpoint, the shared data, real programs with a time limit, and no real screen."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

pytest_plugins = ("tests.lanes",)

# Before anything imports pygame, and for every program that a test starts: draw into memory, make no sound.
os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"

# Workers of a parallel run share the cores. Threads that wait by spinning would take them from each other, so each
# worker, and every program that it starts, computes on one thread.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The programs of this run announce their streams to each other, and to nobody else on this machine.
if sys.platform != "win32":
    os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="bunraku-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


# Characters are new to this run, and this user's own list is untouched. Workers share the first one's folder.
if "BUNRAKU_CHECKED_FILES" not in os.environ:
    os.environ["BUNRAKU_CHECKED_FILES"] = str(Path(tempfile.mkdtemp(prefix="bunraku-checked-")))
    atexit.register(shutil.rmtree, os.environ["BUNRAKU_CHECKED_FILES"], ignore_errors=True)


# Few tests, but minutes: whoever took these files last would keep all other workers waiting.
FIRST = ("test_training.py", "test_training_ends.py", "test_encoder_task.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `FIRST` first; workers take files in this order."""
    items.sort(key=lambda item: item.path.name not in FIRST)


class RunProgram(Protocol):
    """Run a program to its end; see the fixture `run_program`."""

    def __call__(
        self,
        command: Sequence[str | Path],
        *,
        timeout_s: float = 150,
        cwd: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command; see the fixture `run_program`."""


@pytest.fixture
def tcp_endpoint() -> str:
    """A loopback endpoint whose port was free a moment ago, for programs that need one in advance.

    Prefer binding port 0 and reading the port back: no other process can take it in between.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def repository() -> Path:
    """The top folder of this checkout."""
    return REPOSITORY


@pytest.fixture
def shared_data() -> Path:
    """The data folder beside the checkout, for tests that need real pictures; skips where it is missing."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data beside this checkout ({folder.parent.name}/{folder.name})")
    return folder


@pytest.fixture
def run_program() -> RunProgram:
    """Run a real program to its end, output captured as text, stdin closed, killed at the time limit.

    `environment` is merged into the current one; a value of None removes a variable. Terminal width and colour are
    fixed so that output can be compared.
    """

    def run(
        command: Sequence[str | Path],
        *,
        timeout_s: float = 150,
        cwd: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        laid_over = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PYTHONUTF8": "1", **(environment or {})}
        merged = {**os.environ, **laid_over}
        return subprocess.run(
            [os.fspath(word) for word in command],
            cwd=cwd,
            env={name: value for name, value in merged.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: test networks are too small to share, and their bits must not depend on the number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scripts() -> Path:
    """The folder of this Python's console scripts, which holds `bunraku` and `bunraku-train`."""
    return Path(sys.executable).parent
