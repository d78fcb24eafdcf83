"""Installation advice is a command that works where it is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from runtime import advice
from tests.conftest import REPOSITORY, RunProgram

SOURCES = [*(REPOSITORY / "runtime").rglob("*.py"), *(REPOSITORY / "training").rglob("*.py")]


class Installed(Distribution):
    """A distribution with this file in its metadata."""

    def __init__(self, direct_url: object) -> None:
        self._files = {"direct_url.json": json.dumps(direct_url), "METADATA": "Name: bunraku\nVersion: 0.1.0\n"}

    def read_text(self, filename: str) -> str | None:
        return self._files.get(filename)

    def locate_file(self, path: str | os.PathLike[str]) -> Path:  # type: ignore[override]
        return Path(path)


@pytest.fixture(autouse=True)
def _ask_again() -> None:
    advice._checkout.cache_clear()


def installed(monkeypatch: pytest.MonkeyPatch, direct_url: object) -> None:
    monkeypatch.setattr(advice, "distribution", lambda _name: Installed(direct_url))


def test_in_a_checkout_the_advice_names_this_python_and_this_folder() -> None:
    words = shlex.split(advice.install_extra("openvino"))
    assert words == [sys.executable, "-m", "pip", "install", "--editable", f"{REPOSITORY}[openvino]"]


def test_odd_folders_survive_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "my 'new' [v2] $HOME & é"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    installed(monkeypatch, {"url": folder.as_uri(), "dir_info": {"editable": True}})
    printed = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {advice.install_extra('camera')}"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines()[-1] == f"{folder}[camera]"


def test_beside_an_installed_wheel_the_advice_keeps_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"url": "file:///tmp/bunraku.whl", "archive_info": {}})
    words = shlex.split(advice.install_extra("camera", "--upgrade"))
    assert words[1:] == ["-m", "pip", "install", "--upgrade", "bunraku[camera]==0.1.0"]


def test_where_the_system_forbids_installing_the_advice_makes_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "_is_managed_by_the_system", lambda: True)
    making, installing = advice.install_extra("train").split(" && ")
    assert shlex.split(making)[1:] == ["-m", "venv", str(REPOSITORY / ".venv")]
    assert shlex.split(installing)[0].startswith(str(REPOSITORY / ".venv"))


def test_no_message_has_a_command_of_pip_of_its_own() -> None:
    own = [
        f"{path.name}: {line.strip()}"
        for path in SOURCES
        if path.name != "advice.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"pip\d? (un)?install", line)
    ]
    assert own == []


@pytest.mark.parametrize("module", ["torch", "torch.nn", "skia", "onnx", "lightning_fabric", "tensorboard"])
def test_a_missing_package_is_answered_with_the_one_command_that_helps(module: str) -> None:
    told = advice.missing_package(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert told is not None
    assert told.endswith(advice.install_extra("train"))


def test_a_missing_module_of_our_own_is_not_explained_away() -> None:
    assert advice.missing_package(ModuleNotFoundError("No module named 'runtime.x'", name="runtime.x")) is None


@pytest.mark.parametrize("arguments", [["fit", "aki"], ["evaluate", "runs/none"], ["data", "cast", "--out", "none"]])
def test_the_trainer_without_its_packages_says_one_line(
    run_program: RunProgram, tmp_path: Path, arguments: list[str]
) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'skia', 'lightning_fabric', 'onnx'): sys.modules[name] = None\n"
        f"sys.argv = ['bunraku-train', *{arguments!r}]\n"
        "from training.cli import main\nmain()"
    )
    done = run_program([sys.executable, "-c", program], cwd=tmp_path, environment={"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 1
    assert done.stderr.startswith("Error: This needs ")
    assert done.stderr.rstrip().endswith(advice.install_extra("train"))
    assert len(done.stderr.splitlines()) == 1


def test_the_advice_is_what_pip_accepts(run_program: RunProgram) -> None:
    if os.environ.get("BUNRAKU_TEST_LONG") != "1":
        pytest.skip("asks the package index and builds; set BUNRAKU_TEST_LONG=1")
    done = run_program([*shlex.split(advice.install_extra("camera")), "--dry-run"])
    assert done.returncode == 0, done.stderr
