"""The lock files cover everything `run.py` installs, for every system and Python, with a hash for every file."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tests.unit.test_run_py import load_run_py

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCKS = {"demo": frozenset[str](), "test": frozenset({"train", "openvino", "test", "dev"})}
SYSTEMS = [("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("win32", "Windows", "AMD64")]
SYSTEMS += [("darwin", "Darwin", "arm64"), ("darwin", "Darwin", "x86_64")]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
AGAIN = "write the lock files again: python run.py lock"


class Entry(NamedTuple):
    """One line of a lock file, with its continuation lines."""

    requirement: Requirement
    version: str
    hashes: list[str]


@pytest.fixture(scope="module")
def run_py() -> ModuleType:
    return load_run_py(REPOSITORY / "run.py")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def entries(name: str) -> list[Entry]:
    """Contents of a lock file."""
    text = (REPOSITORY / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(re.split(r"\s+--hash", line)[0])
        (clause,) = requirement.specifier
        assert clause.operator == "==", line
        found.append(Entry(requirement, clause.version, re.findall(r"--hash=(\S+)", line)))
    return found


def environment(system: tuple[str, str, str], python: str) -> dict[str, str]:
    """Environment markers of that system."""
    platform, name, machine = system
    told = {"sys_platform": platform, "platform_system": name, "platform_machine": machine}
    told |= {"os_name": "nt" if platform == "win32" else "posix", "implementation_name": "cpython"}
    told |= {"platform_python_implementation": "CPython", "extra": ""}
    return {**told, "python_version": python, "python_full_version": f"{python}.9"}


def locked(name: str, there: dict[str, str]) -> dict[str, str]:
    """The version of every package installed there; fails if one has two."""
    versions: dict[str, str] = {}
    for entry in entries(name):
        if entry.requirement.marker is None or entry.requirement.marker.evaluate(there):
            package = canonicalize_name(entry.requirement.name)
            assert package not in versions, f"{package} has two versions there"
            versions[package] = entry.version
    return versions


def unmet(wanted: list[str], versions: dict[str, str], there: dict[str, str]) -> list[str]:
    """Requirements not met by a lock file."""
    requirements = [Requirement(text) for text in wanted]
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate(there)]
    return [
        str(each) for each in needed if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"))
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_every_file_in_a_lock_has_hashes_and_no_place_of_its_own(name: str) -> None:
    found = entries(name)
    assert len(found) > 20
    for entry in found:
        assert entry.hashes, entry.requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in entry.hashes), entry.requirement
        assert entry.requirement.url is None
    text = (REPOSITORY / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    assert "index-url" not in text
    assert "find-links" not in text


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: "-".join(system[1:]))
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_the_project_on_every_system(
    project: dict[str, Any], name: str, system: tuple[str, str, str], python: str
) -> None:
    there = environment(system, python)
    wanted = list(project["project"]["dependencies"])
    for extra in LOCKS[name]:
        wanted += project["project"]["optional-dependencies"][extra]
    wanted += project["build-system"]["requires"]
    versions = locked(name, there)
    assert unmet([each for each in wanted if Requirement(each).name != "torch"], versions, there) == [], AGAIN


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: "-".join(system[1:]))
def test_the_tests_after_the_demo_exchange_nothing(system: tuple[str, str, str], python: str) -> None:
    there = environment(system, python)
    assert locked("demo", there).items() <= locked("test", there).items(), AGAIN


def test_what_pytorch_needs_is_locked_and_pytorch_is_not(run_py: ModuleType) -> None:
    there = environment(SYSTEMS[0], "{}.{}".format(*sys.version_info))
    versions = locked("test", there)
    assert "torch" not in versions
    assert unmet(list(run_py.TORCH_NEEDS), versions, there) == [], AGAIN
    assert not [name for name in versions if name.startswith(("nvidia-", "cuda-", "triton"))]
    try:
        needs = requires("torch") or []
    except PackageNotFoundError:
        pytest.skip("PyTorch is not installed, so what it needs is not known (extra: train)")
    cpu = [each for each in needs if not re.match(r"nvidia-|cuda-|triton", each)]
    assert unmet(cpu, versions, there) == [], "add it to TORCH_NEEDS in run.py"


def test_the_script_knows_what_the_project_is_built_with(run_py: ModuleType, project: dict[str, Any]) -> None:
    assert set(project["build-system"]["requires"]) <= set(run_py.BUILD_NEEDS)
    assert project["project"]["requires-python"] == ">=3.10,<3.14"
    assert {Path(run_py.DEMO_LOCK).stem, Path(run_py.TEST_LOCK).stem} == set(LOCKS)
    assert LOCKS["test"] == run_py.TEST_EXTRAS
