"""`bunraku render`: render a recording of controls to a film."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import escaped, say, say_json

from .opening import find, open_choice, settings_of
from .options import (
    AUTO,
    CharacterArgument,
    EngineOption,
    IdentityOption,
    JsonOption,
    Layout,
    Precision,
    PrecisionOption,
    Profile,
    ThreadsOption,
)
from .reporting import reporting


@reporting
def render(
    character: CharacterArgument = None,
    *,
    controls: Annotated[
        Path | None, typer.Option(help="A recording: Live Link Face .csv or Bunraku .jsonl.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="FILE.mp4, FILE.webp, or a folder for .png.", show_default=False)
    ] = None,
    identity: IdentityOption = None,
    engine: EngineOption = AUTO,
    precision: PrecisionOption = Precision.fp32,
    threads: ThreadsOption = None,
    fps: Annotated[float, typer.Option(min=1.0, max=240.0, help="Frames per second of the film.")] = 30.0,
    start: Annotated[float, typer.Option(min=0.0, help="Where in the recording to begin, seconds.")] = 0.0,
    seconds: Annotated[float | None, typer.Option(min=0.01, help="How long.", show_default=False)] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=100.0, help="2 plays twice as fast.")] = 1.0,
    background: Annotated[str, typer.Option(help="What shows through in an .mp4: a name or #rrggbb.")] = "#202428",
    layout: Annotated[
        Layout, typer.Option(help="flat: an .mp4 over the background; side-by-side: twice as wide, alpha on the right.")
    ] = Layout.flat,
    idle: Annotated[bool, typer.Option("--idle/--no-idle", help="Idle motion where the recording sets none.")] = True,
    neutral: Annotated[str, typer.Option(help="Neutral pose: median, or a time in the recording in seconds.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Render a recording of controls to a film or pictures: offline and reproducible.

    Ctrl-C, SIGTERM or SIGHUP end it with exit code 130 and leave nothing half-written.

    Example: `bunraku render aki --controls take.csv --out take.mp4`
    """
    from runtime.live.render import RenderSettings
    from runtime.live.render import render as run
    from runtime.signals import interrupt_on_signals

    if controls is None or out is None:
        raise typer.BadParameter("--controls FILE and --out FILE are both needed")
    settings = RenderSettings(
        controls=controls,
        out=out,
        fps=fps,
        identity=identity,
        start_s=start,
        seconds=seconds,
        speed=speed,
        background=background,
        layout=layout.value,
        idle=idle,
        neutral=neutral,
    )
    how = settings_of(threads, Profile.exclusive, patient=True)
    with open_choice(find(character, engine), engine, precision, how) as choice:
        say(f"{choice.role.name} on {choice.sentence()}")
        with interrupt_on_signals():
            frames, warnings = run(choice.role, choice.engine, settings, progress=_progress(out.name))
    for warning in warnings:
        say(f"Note: {warning}.", err=True)
    say(f"wrote {out}: {frames} frames, {frames / fps:.2f} s at {fps:g} fps")
    if as_json:
        label = choice.engine.description.label
        say_json({"command": "render", "out": str(out), "frames": frames, "fps": fps, "provider": label})


def _progress(name: str) -> Callable[[int, int], None] | None:
    """One progress line, overwritten in place; nothing if stderr is not a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r{escaped(name)}: {done}/{total} frames{end}")
            sys.stderr.flush()

    return show
