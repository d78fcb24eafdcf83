"""`bunraku doctor`: what this machine has and lacks."""

from __future__ import annotations

import typer

from runtime.terminal import say_json, table

from .options import JsonOption
from .reporting import reporting


@reporting
def doctor(as_json: JsonOption = False) -> None:
    """Report what this machine has, what will be used, what is missing and how to get it.

    Exit code 1 if something that Bunraku needs is missing.

    Example: `bunraku doctor`
    """
    from runtime.doctor import MISSING, examine

    findings = examine()
    table(["", "", "found", "what to do"], [(f.name, f.state, f.found, f.advice) for f in findings])
    if as_json:
        say_json({"command": "doctor", "findings": findings})
    if any(finding.state == MISSING for finding in findings):
        raise typer.Exit(1)
