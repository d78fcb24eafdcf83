"""The TensorRT code matches the real package's signatures, on machines with neither the package nor a GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.tensorrt_stubs import BINDINGS, BINDINGS_10, tensorrt_stubs
from tests.wheels import Unobtainable

pytestmark = pytest.mark.timeout(400)  # the first run fetches and makes the stubs

OURS = (
    "runtime/engines/tensorrt_build.py",
    "runtime/engines/tensorrt.py",
    "runtime/engines/tensorrt_log.py",
    "runtime/engines/tensorrt_plan.py",
)
PLANTED = "tests/contract/planted_tensorrt_errors.py"


Complaints = dict[str, dict[int, set[str]]]


def complaints(bindings: str, *files: str) -> Complaints:
    """mypy's errors for each file: line to error codes."""
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed (extra: dev)")
    try:
        stubs = tensorrt_stubs(bindings)
    except Unobtainable as reason:
        pytest.skip(f"no stubs of TensorRT: {reason}")
    # Where TensorRT is not installed our classes derive from Any and say so in a comment, which is unused here.
    options = ["--no-warn-unused-ignores", "--show-error-codes", "--no-pretty"]
    options += ["--cache-dir", str(stubs.with_name(f"{stubs.name}-mypy"))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files],
        cwd=REPOSITORY,
        env={**os.environ, "MYPYPATH": str(stubs)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    found: Complaints = {}
    for line in done.stdout.splitlines():
        error = re.match(r"(.+?):(\d+): error: .*\[([\w-]+)\]$", line)
        if error:
            found.setdefault(Path(error[1]).as_posix(), {}).setdefault(int(error[2]), set()).add(error[3])
    assert done.returncode == (1 if found else 0), done.stdout + done.stderr
    return found


@pytest.mark.parametrize("bindings", [BINDINGS, BINDINGS_10])
def test_our_code_fits_tensorrt(bindings: str) -> None:
    assert complaints(bindings, *OURS) == {}


@pytest.mark.parametrize(("bindings", "marks"), [(BINDINGS, r"# planted(?: for 11)?: "), (BINDINGS_10, "# planted: ")])
def test_the_check_finds_every_planted_error(bindings: str, marks: str) -> None:
    lines = (REPOSITORY / PLANTED).read_text(encoding="utf-8").splitlines()
    planted = {
        number: {found[1]} for number, line in enumerate(lines, 1) if (found := re.search(marks + r"([\w-]+)", line))
    }
    assert len(planted) >= 11
    assert planted.items() <= complaints(bindings, PLANTED)[PLANTED].items()
