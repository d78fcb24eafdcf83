"""How `run.py test` installs PyTorch: the CPU build if possible, never CUDA packages unasked. Real venv, real pip."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import RunProgram
from tests.end_to_end.stand_in_project import make_project, make_wheel, offline

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the stand-in, with a folder of wheels in which PyTorch depends on CUDA."""
    folder = tmp_path_factory.mktemp("clone") / "clone"
    make_project(folder)
    make_wheel(folder / "wheels", "torch", "2.13.0", needs="nvidia-cudnn-cu13")
    make_wheel(folder / "wheels", "nvidia-cudnn-cu13", "9.0")
    return folder


def test_cuda_packages_are_not_fetched_unasked(run_program: RunProgram, folder: Path) -> None:
    command: list[str | Path] = [sys.executable, folder / "run.py", "test"]
    environment = {**offline(folder), "PIP_FIND_LINKS": os.fspath(folder / "wheels")}

    stopped = run_program(command, environment=environment, timeout_s=600)
    assert stopped.returncode == 1
    assert "nvidia_cudnn_cu13" in stopped.stderr
    assert "--allow-cuda" in stopped.stderr
    assert "Traceback" not in stopped.stderr

    make_wheel(folder / "wheels", "torch", "2.13.0+cpu")
    cpu = run_program([*command, "-k", "frame"], environment=environment, timeout_s=600)
    assert cpu.returncode == 0, cpu.stderr
    assert json.loads(cpu.stdout.splitlines()[-1]) == ["-k", "frame"]
    assert list((folder / ".venv").glob("[Ll]ib/**/torch-2.13.0+cpu.dist-info"))

    # A demo needs less than the tests, so what is there is enough for it.
    demo = run_program([sys.executable, folder / "run.py", "demo"], environment=environment, timeout_s=600)
    assert "Installing" not in demo.stdout
    assert demo.returncode == 0, demo.stderr


def test_cuda_packages_are_fetched_when_asked(run_program: RunProgram, folder: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    make_project(clone)
    make_wheel(clone / "wheels", "torch", "2.13.0", needs="nvidia-cudnn-cu13")
    make_wheel(clone / "wheels", "nvidia-cudnn-cu13", "9.0")
    environment = {**offline(clone), "PIP_FIND_LINKS": os.fspath(clone / "wheels")}
    done = run_program(
        [sys.executable, clone / "run.py", "test", "--allow-cuda", "-x"], environment=environment, timeout_s=600
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["-x"]
    assert list((clone / ".venv").glob("[Ll]ib/**/nvidia_cudnn_cu13-9.0.dist-info"))
