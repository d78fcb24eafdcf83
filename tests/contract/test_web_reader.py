"""The browser's reader, verbs and NPC, in Node: tested with the conformance kit and with damaged messages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunProgram

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node here (node is not in PATH)")


def run_node(run_program: RunProgram, repository: Path, *words: str) -> dict[str, Any]:
    """The script's last line of output, after it exited cleanly."""
    result = run_program(["node", *words], cwd=repository)
    assert result.returncode == 0, result.stdout + result.stderr
    said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return said


def test_the_reader_agrees_with_the_conformance_kit(run_program: RunProgram, repository: Path) -> None:
    tally = run_node(run_program, repository, "tests/web/conformance.mjs")
    cases = len(list((repository / "assets/conformance/v1/cases").iterdir()))
    assert tally["failed"] == 0
    assert tally["passed"] + tally["skipped"] == cases
    assert tally["passed"] > cases // 2


def test_damaged_messages_are_dropped_and_forgotten(run_program: RunProgram, repository: Path) -> None:
    said = run_node(run_program, repository, "--expose-gc", "tests/web/garbage.mjs", "100000")
    assert said["alone"] == said["later"] == "frame"
    assert said["grownMiB"] < 8
    assert {"msgpack", "header", "size", "decode", "parts", "topic"} <= set(said["outcomes"])


def test_the_npc_speaks_as_all_others_do(run_program: RunProgram, repository: Path) -> None:
    assert run_node(run_program, repository, "tests/web/speech.mjs")["differences"] == 0


def test_verbs_send_what_the_kit_says(run_program: RunProgram, repository: Path) -> None:
    said = run_node(run_program, repository, "tests/web/verbs.mjs")
    assert said["differences"] == 0
    assert said["lines"] == said["expected"] > 100


@pytest.mark.parametrize(
    ("address", "socket"),
    [
        ("http://127.0.0.1:5762/", "ws://127.0.0.1:5762/avf1"),
        ("http://127.0.0.1:5762/index.html?ui=0&token=x", "ws://127.0.0.1:5762/avf1"),
        ("http://[::1]:5762", "ws://[::1]:5762/avf1"),
        ("https://example.org/bunraku/", "wss://example.org/bunraku/avf1"),
        ("https://example.org/a/b/index.html#x", "wss://example.org/a/b/avf1"),
    ],
)
def test_the_page_finds_its_relay_below_the_path_of_a_proxy(
    run_program: RunProgram, repository: Path, address: str, socket: str
) -> None:
    result = run_program(["node", "tests/web/addresses.mjs", address], cwd=repository)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == [[socket, socket]]
