"""Helpers that run the program `bunraku`, and inputs for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunProgram

BUNRAKU = [sys.executable, "-m", "runtime.cli"]
ANYWHERE = ["--publish", "tcp://127.0.0.1:0", "--control", "tcp://127.0.0.1:0"]
NOWHERE = ["--publish", "off", "--control", "off"]
CARD = ["live", "--engine", "synthetic", "--no-window"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def write_take(path: Path) -> Path:
    """One second of an opening mouth and a turning head."""
    lines = [{"t_s": i / 30, "controls": {"jawOpen": i / 30, "headYaw": 20 * i / 30 - 10}} for i in range(31)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def last_line(text: str) -> dict[str, Any]:
    """The object that `--json` prints."""
    report: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return report


@contextmanager
def playing(*arguments: str | Path, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A live process, with the endpoints that it printed."""
    process = subprocess.Popen(
        [*BUNRAKU, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found = re.search(r"frames (\S+)  controls (\S+)", line)
            if found:
                yield process, found[1], found[2]
                break
        else:
            process.wait(30)
            assert process.stderr is not None
            pytest.fail(process.stderr.read())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def run(run_program: RunProgram, *arguments: str | Path, code: int = 0, cwd: Path | None = None) -> tuple[str, str]:
    """Output and errors of a run that exits with this code."""
    environment = {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    ended = run_program([*BUNRAKU, *map(str, arguments)], timeout_s=150, cwd=cwd, environment=environment)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout, ended.stderr
