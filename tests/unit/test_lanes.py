"""Tests of game engines are left out only where nothing that they depend on has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import COMMON, LANES, NATIVE, REPOSITORY, changed_since, untouched


def test_each_path_of_a_lane_exists() -> None:
    for lane in LANES.values():
        for path in (*(f"tests/{test}" for test in lane.tests), *lane.sources, *COMMON):
            assert (REPOSITORY / path).exists(), path


@pytest.mark.parametrize(
    ("changed", "still_run"),
    [
        ({"README.md", "training/loop.py"}, set()),
        ({"engine_bridge/unity/Runtime/AssemblyInfo.cs"}, {"unity"}),
        ({"tests/end_to_end/test_godot.py", "engine_bridge/web/page/panel.js"}, {"godot", "web"}),
        ({f"{NATIVE[0]}src/ring.cpp"}, {"native", "unity", "unreal", "godot"}),
        ({f"{COMMON[0]}wire.py"}, set(LANES)),
    ],
)
def test_a_lane_runs_if_something_it_depends_on_changed(changed: set[str], still_run: set[str]) -> None:
    assert set(LANES) - set(untouched(frozenset(changed))) == still_run


def test_an_unknown_revision_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match=r"--changed=no-such-branch: .*Name a commit or a branch"):
        changed_since("no-such-branch")


def test_skipped_tests_say_why(tmp_path: Path) -> None:
    """In a copy of the repository in which nothing has changed."""
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{REPOSITORY}", tmp_path / "copy"], check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--changed", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/contract/test_web_reader.py"],
        cwd=tmp_path / "copy",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "nothing that the lane web depends on changed" in done.stdout
    assert "passed" not in done.stdout
