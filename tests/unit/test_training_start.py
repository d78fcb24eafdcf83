"""Start of `bunraku-train`: memory is kept, unless overridden."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from training.start import KEEP_MEMORY, TUNABLES, begins_again

PROGRAM = f"import os; print(os.environ.get('{TUNABLES}'), flush=True); from training.start import main; main()"


@pytest.mark.parametrize(
    ("platform", "arguments", "environment", "wanted"),
    [
        ("linux", ["bunraku-train", "fit", "animator"], {}, True),
        ("linux", ["bunraku-train", "fit", "animator"], {TUNABLES: ""}, False),
        ("linux", ["bunraku-train", "evaluate", "runs/fit"], {}, False),
        ("linux", ["bunraku-train"], {}, False),
        ("win32", ["bunraku-train", "fit", "animator"], {}, False),
    ],
)
def test_only_training_on_linux_begins_again(
    platform: str, arguments: list[str], environment: dict[str, str], wanted: bool
) -> None:
    assert begins_again(platform, arguments, environment) is wanted


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked for memory on Linux alone")
def test_the_program_that_begins_again_says_the_same_and_ends_the_same() -> None:
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    command = [sys.executable, "-c", PROGRAM, "fit", "no-such-recipe"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.stdout.split() == ["None", KEEP_MEMORY]
    assert "There is no recipe no-such-recipe" in done.stderr
    assert done.returncode == 1
