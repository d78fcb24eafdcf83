"""Entry point of `bunraku-train`: settings that must precede any slow import."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from runtime.interrupt import leave_on_interrupt

# Read by glibc at process start: keep memory instead of returning and requesting it many times per step,
# and use large pages.
TUNABLES: Final = "GLIBC_TUNABLES"
KEEP_MEMORY: Final = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=8000000000"
)


def main() -> None:
    """Entry point of `bunraku-train`."""
    leave_on_interrupt()
    if begins_again(sys.platform, sys.argv, os.environ):
        os.environ[TUNABLES] = KEEP_MEMORY
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    from .cli import main as command_line

    command_line()


def begins_again(platform: str, arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether to restart this process with memory that is kept: for training on Linux, unless overridden.

    Args:
        platform: as in `sys.platform`.
        arguments: as in `sys.argv`.
        environment: of the process.
    """
    return platform == "linux" and list(arguments[1:2]) == ["fit"] and TUNABLES not in environment
