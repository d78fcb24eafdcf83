"""`bunraku bench`: every engine against the budget."""

from __future__ import annotations

from typing import Annotated

import typer

from runtime.terminal import say, say_json, table

from .opening import candidates_of, find, open_choice, settings_of
from .options import (
    AUTO,
    CharacterArgument,
    EngineOption,
    JsonOption,
    Precision,
    PrecisionOption,
    Profile,
    ProfileOption,
    ThreadsOption,
)
from .reporting import reporting


@reporting
def bench(
    character: CharacterArgument = None,
    *,
    engine: EngineOption = AUTO,
    precision: PrecisionOption = Precision.auto,
    threads: ThreadsOption = None,
    profile: ProfileOption = Profile.shared,
    frames: Annotated[int, typer.Option(min=10, max=100_000, help="Frames per measurement.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Measure every engine available here, then loop, transport, start-up and memory against the budget.

    Each engine has its own process; they take turns, so that a busy minute of the machine affects all alike.

    Example: `bunraku bench aki --engine onnxruntime`
    """
    from runtime import bench as measuring
    from runtime.machine import describe

    path = find(character, engine)
    settings = settings_of(threads, profile)
    lanes = (
        [] if path is None else measuring.bench_engines(path, candidates_of(path, engine, precision), settings, frames)
    )
    if lanes:
        table(measuring.HEADINGS, [lane.row() for lane in lanes], tight=True)
        say(
            "start: seconds to the first picture. p50, p99: ms of each, one after another.\n"
            "60Hz: ms at 60 a second, with the fps and the cores it keeps busy.\n"
            "busy: the same beside a competing load. MB: memory of the process.\n"
            "dB: lowest percentile of PSNR against fp32 in ONNX Runtime.\n"
        )
    with open_choice(path, engine, precision, settings) as choice:
        say(f"{choice.role.name} on {choice.sentence()}")
        figures = measuring.bench_loop(choice.role, choice.engine, frames=frames)
        figures += measuring.bench_batches(choice.engine)
        figures += measuring.bench_transport(choice.role, choice.engine, frames=min(frames, 300))
        about = choice.engine.description
    arguments = ["--engine", about.backend, "--precision", about.precision, "--profile", profile.value]
    arguments += [character] if character else []
    arguments += ["--threads", str(threads)] if threads else []
    figures += measuring.bench_start(arguments)
    rows = [
        (figure.name, f"{figure.value:.3f}", "" if figure.budget is None else f"{figure.budget:g}", _mark(figure.good))
        for figure in figures
    ]
    table(["figure", "value", "budget", ""], rows)
    if as_json:
        values = {figure.name: figure.value for figure in figures}
        over = [figure.name for figure in figures if not figure.good]
        told = {"command": "bench", "provider": about.label, **values, "over_budget": over}
        told |= {"engines": lanes, "machine": describe()}
        say_json(told)


def _mark(good: bool) -> str:
    return "" if good else "over"
