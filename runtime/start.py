"""Entry points of the commands: Ctrl-C is quiet from here on, before any slow import."""

from __future__ import annotations

from .interrupt import leave_on_interrupt


def main() -> None:
    """Entry point of `bunraku`."""
    leave_on_interrupt()
    from runtime.cli.app import main as command_line

    command_line()
