"""run.py with a real virtual environment and a real pip, on a stand-in project that needs no network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import RunProgram
from tests.end_to_end.stand_in_project import PROJECT, make_project, make_wheel, offline, write_lock

# Creating a virtual environment takes seconds on an idle machine and minutes on a busy one.
pytestmark = pytest.mark.timeout(900)

NO_WINDOW = ["live", "--no-window", "--seconds", "10", "--record", "demo.webp"]

NO_SUCH_PACKAGE = f"no-such-package==1.0 --hash=sha256:{'0' * 64}"

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the stand-in shared by the tests of this file, like a user's clone over many runs."""
    folder = tmp_path_factory.mktemp("clone") / "a clone"
    make_project(folder)
    return folder


@pytest.fixture
def run_py(folder: Path, run_program: RunProgram) -> Iterator[RunPy]:
    """Run the clone's `run.py` as a program; project and lock files are restored afterwards."""

    def run(*arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        return run_program(
            [sys.executable, folder / "run.py", *arguments],
            cwd=folder,
            timeout_s=600,
            environment={**offline(folder), **environment},
        )

    yield run
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    write_lock(folder, "demo", "")


def installed(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether this run set anything up."""
    return "Installing" in done.stdout


def test_demo_installs_then_records_where_there_is_no_display(run_py: RunPy) -> None:
    first = run_py("demo", "--fps", "30")
    assert first.returncode == 0, first.stderr
    assert installed(first)
    assert "Installing Bunraku: done after" in first.stdout
    assert "No display" in first.stdout
    assert json.loads(first.stdout.splitlines()[-1]) == [*NO_WINDOW, "--fps", "30"]

    second = run_py("demo", "--fps", "30")
    assert second.returncode == 0, second.stderr
    assert not installed(second)
    assert json.loads(second.stdout.splitlines()[-1]) == [*NO_WINDOW, "--fps", "30"]


def test_demo_opens_a_window_where_there_is_a_display(run_py: RunPy) -> None:
    done = run_py("demo", DISPLAY=":99")
    assert json.loads(done.stdout.splitlines()[-1]) == ["live"]


def test_code_of_the_program_is_passed_on(run_py: RunPy) -> None:
    assert run_py("demo", "--exit", "3").returncode == 3


def test_pip_runs_again_only_when_the_project_changed(run_py: RunPy, folder: Path) -> None:
    assert run_py("demo").returncode == 0
    (pip_program,) = (folder / ".venv").glob("[Ll]ib/**/pip/__main__.py")
    working = pip_program.read_bytes()
    pip_program.write_text("raise SystemExit('pip was called')", encoding="utf-8")
    try:
        unchanged = run_py("demo")
        assert unchanged.returncode == 0, unchanged.stderr
        (folder / "pyproject.toml").write_text(PROJECT + "# changed\n", encoding="utf-8")
        changed = run_py("demo")
        assert changed.returncode == 1
        assert "pip was called" in changed.stderr
    finally:
        pip_program.write_bytes(working)


def test_failed_install_is_explained_and_the_next_run_recovers(run_py: RunPy, folder: Path) -> None:
    write_lock(folder, "demo", NO_SUCH_PACKAGE)
    failed = run_py("demo")
    assert failed.returncode == 1
    assert "no-such-package" in failed.stderr
    assert "Likely cause: the package index has no file for Python" in failed.stderr
    assert "PIP_NO_INDEX" in failed.stderr
    assert "run the same command again" in failed.stderr
    assert "Traceback" not in failed.stderr

    write_lock(folder, "demo", "")
    recovered = run_py("demo")
    assert recovered.returncode == 0, recovered.stderr
    assert "Making .venv: done" in recovered.stdout


def test_unreachable_index_is_named_as_the_cause(run_py: RunPy, folder: Path) -> None:
    write_lock(folder, "demo", NO_SUCH_PACKAGE)
    nobody_listens = "http://127.0.0.1:9/simple"
    failed = run_py("demo", PIP_NO_INDEX=None, PIP_INDEX_URL=nobody_listens, PIP_RETRIES="1")
    assert failed.returncode == 1
    assert "Likely cause: no network" in failed.stderr


def test_a_file_with_another_hash_is_not_installed(run_py: RunPy, folder: Path, tmp_path: Path) -> None:
    make_wheel(tmp_path, "locked", "1.0")
    (wheel,) = tmp_path.iterdir()
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    settings = {"PIP_FIND_LINKS": str(tmp_path)}

    write_lock(folder, "demo", f"locked==1.0 --hash=sha256:{'0' * 64}")
    refused = run_py("demo", **settings)
    assert refused.returncode == 1
    assert "Likely cause: a file from the package index is not the one that the lock file names" in refused.stderr

    write_lock(folder, "demo", "locked==1.0")
    unlocked = run_py("demo", **settings)
    assert unlocked.returncode == 1
    assert "Likely cause: a lock file in the folder locks is incomplete" in unlocked.stderr

    write_lock(folder, "demo", f"locked==1.0 --hash=sha256:{right}")
    done = run_py("demo", **settings)
    assert done.returncode == 0, done.stderr
    assert list((folder / ".venv").glob("[Ll]ib/**/locked-1.0.dist-info"))


def test_a_missing_lock_file_is_named(run_py: RunPy, folder: Path) -> None:
    (folder / "locks" / "test.txt").unlink()
    try:
        failed = run_py("demo")
    finally:
        write_lock(folder, "test", "")
    assert failed.returncode == 1
    assert "test.txt cannot be read" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_broken_environment_is_recreated(run_py: RunPy, folder: Path) -> None:
    assert run_py("demo").returncode == 0
    rubbish = folder / ".venv" / "half-written"
    rubbish.touch()
    for python in (folder / ".venv").glob("[bS]*/python*"):
        python.unlink()
    done = run_py("demo")
    assert done.returncode == 0, done.stderr
    assert not rubbish.exists()
