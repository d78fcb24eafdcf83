"""run.py before it installs anything: its usage, unsupported Pythons, and explanations of failures."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPOSITORY, RunProgram

# Runs run.py under a Python that claims another version.
PRETEND = """
import runpy, sys
sys.version_info = tuple(int(number) for number in sys.argv.pop(1).split(".")) + (0, "final", 0)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.fixture
def run_py(tmp_path: Path) -> Path:
    """A copy of run.py in a separate folder."""
    return Path(shutil.copy(REPOSITORY / "run.py", tmp_path))


@pytest.fixture
def module(run_py: Path) -> ModuleType:
    """The copy as a module."""
    return load_run_py(run_py)


def load_run_py(path: Path) -> ModuleType:
    """A `run.py` as a module."""
    spec = importlib.util.spec_from_file_location("run_py_copy", path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_an_old_python_can_read_the_file() -> None:
    source = (REPOSITORY / "run.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))


@pytest.mark.parametrize("version", ["3.6", "3.9", "3.14"])
def test_another_python_is_refused_before_anything_else(run_program: RunProgram, run_py: Path, version: str) -> None:
    done = run_program([sys.executable, "-c", PRETEND, version, run_py, "demo"])
    assert done.returncode == 1
    assert f"this is Python {version} " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run_py.parent / ".venv").exists()


@pytest.mark.parametrize("arguments", [[], ["paint"], ["--window", "demo"], ["Demo"], ["lock", "numpy"]], ids=" ".join)
def test_wrong_usage_exits_2_and_shows_how(run_program: RunProgram, run_py: Path, arguments: list[str]) -> None:
    done = run_program([sys.executable, run_py, *arguments])
    assert done.returncode == 2
    assert "python run.py demo" in done.stderr
    assert done.stdout == ""
    assert not (run_py.parent / ".venv").exists()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["demo", "--help"], ["test", "-h"], ["lock", "-h"]], ids=" ".join
)
def test_help_needs_no_set_up(run_program: RunProgram, run_py: Path, arguments: list[str]) -> None:
    done = run_program([sys.executable, run_py, *arguments])
    assert done.returncode == 0
    assert "python run.py test" in done.stdout
    assert not (run_py.parent / ".venv").exists()


@pytest.mark.parametrize("content", ["a file", "a folder"])
def test_a_foreign_dot_venv_is_left_alone(run_program: RunProgram, run_py: Path, content: str) -> None:
    (run_py.parent / "pyproject.toml").touch()
    (run_py.parent / "locks").mkdir()
    for name in ("demo.txt", "test.txt"):
        (run_py.parent / "locks" / name).touch()
    venv = run_py.parent / ".venv"
    treasure = venv if content == "a file" else venv / "treasure.txt"
    treasure.parent.mkdir(exist_ok=True)
    treasure.write_text("gold", encoding="utf-8")
    done = run_program([sys.executable, run_py, "demo"])
    assert done.returncode == 1
    assert "not a virtual environment" in done.stderr
    assert treasure.read_text(encoding="utf-8") == "gold"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3."
            "connection.HTTPSConnection object>: Failed to establish a new connection: [Errno -3] Temporary failure in "
            "name resolution')': /simple/numpy/\nERROR: No matching distribution found for numpy>=1.26",
            "no network",
        ),
        ("WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.'", "the proxy"),
        (
            "Could not fetch URL https://pypi.org/simple/numpy/: There was a problem confirming the ssl certificate: "
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))\n"
            "ERROR: No matching distribution found for numpy",
            "certificate",
        ),
        ("ERROR: No matching distribution found for onnxruntime>=1.19", "no file for Python"),
        ("error: Microsoft Visual C++ 14.0 or greater is required.", "without a ready-made file"),
        (
            "The virtual environment was not created successfully because ensurepip is not\navailable.",
            "without the parts",
        ),
        ("ERROR: [WinError 5] Access is denied: '.venv\\\\Scripts\\\\python.exe'", "cannot be written"),
        ("Segmentation fault", "not known"),
    ],
)
def test_a_failed_step_is_explained(module: ModuleType, said: str, cause: str) -> None:
    text = module.explain("Installing Bunraku failed.", said.splitlines())
    assert said.splitlines()[-1] in text
    (likely,) = [line for line in text.splitlines() if line.startswith("Likely cause: ")]
    assert cause in likely


def test_values_of_pip_settings_stay_secret(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@example.org/simple")
    text = module.explain("Installing Bunraku failed.", ["ERROR: No matching distribution found for numpy"])
    assert "PIP_INDEX_URL" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  Downloading onnxruntime-1.19-cp311.whl (23.8 MB)", "Downloading onnxruntime-1.19-cp311.whl (23.8 MB)"),
        ("Collecting numpy>=1.26 (from bunraku==0.1.0)", "Collecting numpy>=1.26"),
        ("Installing collected packages: numpy, bunraku", "Installing collected packages"),
        ("WARNING: something", None),
    ],
)
def test_the_live_line_shows_what_pip_does(module: ModuleType, line: str, shown: str | None) -> None:
    match = module.PIP_DOING.match(line)
    assert (match[1] if match else None) == shown


def test_the_pinned_torch_is_one_that_the_project_allows(module: ModuleType) -> None:
    pinned = Requirement(module.TORCH)
    (version,) = [clause.version for clause in pinned.specifier]
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    allowed = re.search(r'"(torch[<>=].*?)"', project)
    assert allowed
    assert Requirement(allowed[1]).specifier.contains(version)
