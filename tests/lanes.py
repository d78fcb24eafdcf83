"""Which tests belong to which game engine or language, so that `--changed` can leave out those that nothing touched.

A pytest plugin, loaded by `tests/conftest.py`. For work on one's own machine; `.ci/run` runs everything.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[1]
# What every client speaks, and what every one of their tests needs.
COMMON: Final = ("engine_bridge/avf/", "engine_bridge/sockets/", "engine_bridge/producer/", "assets/conformance/")
NATIVE: Final = ("engine_bridge/native/", "tests/native_build.py", "CMakeLists.txt", "CMakePresets.json")


@dataclass(frozen=True, slots=True)
class Lane:
    """The tests of one client.

    Attributes:
        tests: paths of files or folders, relative to `tests`.
        sources: paths in the repository that these tests depend on, beside `COMMON` and the tests themselves.
    """

    tests: tuple[str, ...]
    sources: tuple[str, ...]


LANES: Final = {
    "native": Lane(("end_to_end/test_native_client.py",), (*NATIVE, "examples/30_native_c/")),
    "unity": Lane(("end_to_end/unity/",), (*NATIVE, "engine_bridge/unity/", "tests/unity/")),
    "unreal": Lane(
        ("end_to_end/unreal/",), (*NATIVE, "engine_bridge/unreal/", "tests/unreal/", "tests/unreal_build.py")
    ),
    "godot": Lane(
        ("end_to_end/test_godot.py", "end_to_end/test_godot_extension.py"),
        (*NATIVE, "engine_bridge/godot/", "tests/godot/", "tests/godot_game.py"),
    ),
    "web": Lane(
        ("end_to_end/test_web.py", "end_to_end/test_web_page.py", "contract/test_web_reader.py"),
        (
            "engine_bridge/web/",
            "engine_bridge/access/",
            "tests/web/",
            "tests/chromium.py",
            "tests/end_to_end/web_peers.py",
        ),
    ),
}


def untouched(changed: frozenset[str]) -> list[str]:
    """The lanes that these paths, relative to the repository, have nothing to do with."""
    return [
        name
        for name, lane in LANES.items()
        if not any(
            path.startswith((*COMMON, *lane.sources, *(f"tests/{test}" for test in lane.tests))) for path in changed
        )
    ]


def changed_since(revision: str) -> frozenset[str]:
    """Paths that differ from a revision in the working tree, new files included.

    Raises:
        pytest.UsageError: git cannot tell.
    """
    paths: set[str] = set()
    for command in (["diff", "--name-only", revision, "--"], ["ls-files", "--others", "--exclude-standard"]):
        try:
            done = subprocess.run(
                ["git", *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
            )
        except OSError as error:
            raise pytest.UsageError(f"--changed needs git: {error}. Leave it out to run all tests.") from error
        if done.returncode:
            raise pytest.UsageError(f"--changed={revision}: {done.stderr.strip()}. Name a commit or a branch.")
        paths.update(done.stdout.splitlines())
    return frozenset(paths)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--changed`."""
    parser.addoption(
        "--changed",
        nargs="?",
        const="HEAD",
        metavar="REVISION",
        help="skip tests of game engines and browsers whose files have not changed since this revision (HEAD)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests of lanes that were not touched."""
    revision = config.getoption("changed")
    if revision is None:
        return
    left_out = untouched(changed_since(revision))
    for item in items:
        path = item.path.relative_to(REPOSITORY / "tests").as_posix()
        for name in left_out:
            if path.startswith(LANES[name].tests):
                item.add_marker(pytest.mark.skip(reason=f"nothing that the lane {name} depends on changed"))
