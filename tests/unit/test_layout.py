"""Invariants of the whole tree: where torch is allowed, import directions, and correct documentation."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, RunProgram

IMPORT_ALL_OF_THE_LIVE_SIDE = """
import importlib, pkgutil, sys
import runtime.cli.app, engine_bridge
for module in pkgutil.walk_packages(engine_bridge.__path__, "engine_bridge."):
    importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("engine_bridge.")]), "torch" in sys.modules)
"""

ASK_FOR_HELP = """
import sys
from importlib.metadata import entry_points
(script,) = entry_points(group="console_scripts", name=sys.argv[1])
sys.argv = [script.name, "--help"]
code = 0
try:
    code = script.load()() or 0
except SystemExit as done:
    code = done.code or 0
print("torch loaded:", "torch" in sys.modules)
sys.exit(code)
"""


def test_live_side_leaves_torch_out(run_program: RunProgram) -> None:
    done = run_program([sys.executable, "-c", IMPORT_ALL_OF_THE_LIVE_SIDE])
    assert done.returncode == 0, done.stderr
    modules, has_torch = done.stdout.split()[-2:]
    assert int(modules) > 5
    assert has_torch == "False"


@pytest.mark.parametrize("name", ["bunraku", "bunraku-train"])
def test_help_answers_without_torch(run_program: RunProgram, name: str) -> None:
    done = run_program([sys.executable, "-c", ASK_FOR_HELP, name])
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.endswith("torch loaded: False\n")


@pytest.mark.parametrize("name", ["bunraku", "bunraku-train"])
def test_installed_script_answers_help(run_program: RunProgram, scripts: Path, name: str) -> None:
    done = run_program([scripts / name, "--help"])
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_imports_go_one_way(run_program: RunProgram, scripts: Path, repository: Path, tmp_path: Path) -> None:
    program = scripts / "lint-imports"
    if not program.exists():
        pytest.skip("import-linter is not installed (extra: dev)")
    done = run_program([program, "--cache-dir", tmp_path], cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr


def test_newest_changelog_entry_is_this_version() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    newest = re.search(r"^## \[(\d.*?)\]", changelog, re.MULTILINE)
    assert version
    assert newest
    assert version[1] == newest[1]


def readme_commands() -> list[list[str]]:
    """Every command in the README's fenced shell blocks, as words, without comments."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = []
    for block in re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|| & ", line.removeprefix("$ ")):
                words = shlex.split(part.strip().removesuffix("&"), comments=True)
                if words:
                    commands.append(words)
    return commands


def test_readme_shows_both_first_commands() -> None:
    commands = readme_commands()
    assert ["python", "run.py", "demo"] in commands
    assert ["python", "run.py", "test"] in commands


@pytest.mark.parametrize("words", readme_commands(), ids=" ".join)
def test_readme_command_exists(run_program: RunProgram, scripts: Path, words: list[str]) -> None:
    """The program knows the verb and every option; a file to run exists."""
    if words[0] in ("python", "python3") and len(words) > 1 and words[1].endswith(".py"):
        assert (REPOSITORY / words[1]).is_file()
    elif words[0] in ("bunraku", "bunraku-train"):
        depth = 2 if words[1:2] == ["data"] else 1  # the one verb that has verbs of its own
        verbs = [word for word in words[1:] if not word.startswith("-")][:depth]
        done = run_program([scripts / words[0], *verbs, "--help"])
        assert done.returncode == 0, done.stderr
        unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in done.stdout]
        assert not unknown
