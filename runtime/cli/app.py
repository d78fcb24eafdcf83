"""The command line `bunraku`. A thin layer over the public API.

Heavier modules are imported by the commands that need them, so that `--help` answers at once and the first frame of
`live` does not wait for tables and films.
"""

from __future__ import annotations

import typer

from runtime.terminal import run_command_line

from . import bench, build, doctor, inspect, keys, live, render, streams, view, web

app = typer.Typer(
    name="bunraku",
    help="Live neural characters for game engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    live.live,
    view.view,
    render.render,
    inspect.inspect,
    bench.bench,
    build.build,
    doctor.doctor,
    streams.streams,
    web.web,
):
    app.command()(command)
app.add_typer(keys.app)


def main() -> None:
    """Run one command line and exit."""
    run_command_line(app)
