"""Where `bunraku-train` begins: what must be settled before anything that takes time is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from runtime.interrupt import leave_on_interrupt

# Read by glibc when a process begins: keep memory instead of giving it back and asking for it again many times a step,
# and take it in large pages.
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
    """Whether this process should begin again with memory that is kept: to train on Linux, if nobody says otherwise.

    Args:
        platform: as in `sys.platform`.
        arguments: as in `sys.argv`.
        environment: of the process.
    """
    return platform == "linux" and list(arguments[1:2]) == ["fit"] and TUNABLES not in environment
