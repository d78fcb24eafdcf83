"""Where `bunraku-train` begins: Ctrl-C is quiet from here on, before anything that takes time is imported."""

from __future__ import annotations

from runtime.start import leave_on_interrupt


def main() -> None:
    """Entry point of `bunraku-train`."""
    leave_on_interrupt()
    from .cli import main as command_line

    command_line()
