"""The command line `bunraku`. Knows how to ask and how to say it; everything else is a call that anybody can make."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from engine_bridge.errors import BunrakuError, DriverError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from .engines import Candidate, Choice, EngineSettings

# Heavier modules are imported by the commands that need them, so that `--help` answers at once and the first frame of
# `live` does not wait for tables and films.

app = typer.Typer(
    name="bunraku",
    help="Live neural characters for game engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SHIPPED: Final = "aki"  # runtime.character.SHIPPED; that module is too heavy for --help


class EngineName(str, Enum):
    """What `--engine` takes."""

    auto = "auto"
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"
    cuda = "cuda"
    openvino = "openvino"
    onnxruntime = "onnxruntime"
    directml = "directml"
    coreml = "coreml"
    synthetic = "synthetic"


class Precision(str, Enum):
    """What `--precision` takes."""

    auto = "auto"
    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


class Profile(str, Enum):
    """What `--profile` takes."""

    shared = "shared"
    exclusive = "exclusive"


CharacterArgument = Annotated[
    str | None,
    typer.Argument(
        help=f"A .bunraku file, or the name of a shipped character.  [default: {_SHIPPED}]", show_default=False
    ),
]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="What draws the pictures; auto says what it chose.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="What it computes in; auto takes the fastest that passed the quality gate."),
]
ProfileOption = Annotated[
    Profile, typer.Option("--profile", help="shared leaves cores to a game and waits quietly; exclusive takes all.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=256,
        help="Threads that compute.  [default: cores - 2, at least 2; all in the exclusive profile]",
        show_default=False,
    ),
]
IdentityOption = Annotated[
    str | None, typer.Option("--identity", help="A name from the character, or a whole number as a seed.")
]
WebOption = Annotated[
    str | None,
    typer.Option("--web", help="Serve a page for browsers there, for example 127.0.0.1:5762.", show_default=False),
]
WebOriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--web-origin", help="A page of another origin that may connect, http://HOST:PORT; may be given again."
    ),
]
WebTokenOption = Annotated[
    str | None,
    typer.Option(
        "--web-token",
        help="What browsers must show.  [default: none on this machine; beyond it one is drawn]",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]

Command = TypeVar("Command", bound=Callable[..., None])


def _reporting(command: Command) -> Command:
    """Turn our errors into a line and an exit code: 1 failed, 2 wrong usage, 130 interrupted."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except DriverError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from None
        except BunrakuError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(130) from None

    return wrapped  # type: ignore[return-value]


@app.command()
@_reporting
def live(
    character: CharacterArgument = None,
    *,
    identity: IdentityOption = None,
    engine: EngineOption = EngineName.auto,
    precision: PrecisionOption = Precision.auto,
    fps: Annotated[float, typer.Option(min=1.0, max=240.0, help="Frames per second to aim at.")] = 60.0,
    threads: ThreadsOption = None,
    profile: ProfileOption = Profile.shared,
    publish: Annotated[
        str | None,
        typer.Option(help="Endpoint for frames, or off.  [default: tcp://127.0.0.1:5760]", show_default=False),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(help="Endpoint for controls, or off.  [default: tcp://127.0.0.1:5761]", show_default=False),
    ] = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(help="NAME[:ARGS], for example recording:take.csv,speed=0.5; may be given again."),
    ] = None,
    window: Annotated[bool, typer.Option("--window/--no-window", help="Show a window.")] = True,
    background: Annotated[
        str, typer.Option(help="checkerboard, green, black, white or #rrggbb; films show a plain colour.")
    ] = "checkerboard",
    record: Annotated[
        Path | None, typer.Option(help="Film (.mp4, .webp), folder of .png, or controls (.jsonl) to write.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long.", show_default=False)] = None,
    stream: Annotated[str, typer.Option(help="Name of the stream.")] = "bunraku",
    web: WebOption = None,
    web_origin: WebOriginOption = None,
    web_token: WebTokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a character: show a window, publish frames, take controls.

    Without a window and without a subscriber nothing is drawn, unless `--record` or `--seconds` asks for it. Ctrl-C or
    closing the window ends the play in good order, with exit code 0.

    `--engine auto` begins at once on the processor; where there is a GPU, its engine is built and loaded meanwhile and
    takes over between two frames.

    Example: `bunraku live --driver recording:take.csv --record take.mp4`
    """
    from engine_bridge.endpoints import DEFAULT_CONTROL_ENDPOINT, DEFAULT_FRAMES_ENDPOINT
    from engine_bridge.errors import SinkError
    from engine_bridge.wire import new_session

    from . import live as playing
    from .drivers import open_drivers
    from .machine import missing_display
    from .performer import Performer
    from .upgrade import EngineUpgrade

    _log_to_stderr()
    if window and (reason := missing_display()):
        raise SinkError(
            f"No window can be opened: {reason}. Add --no-window; `bunraku view` shows the stream elsewhere."
        )
    engine_settings = _settings(threads, profile)
    path = _find(character, engine)
    with _open(path, engine, precision, engine_settings, quick=True) as choice:
        drivers = open_drivers(driver or [], choice.role.idle, window=window)
        settings = playing.LiveSettings(
            fps=fps,
            stream=stream,
            publish=_endpoint(publish, DEFAULT_FRAMES_ENDPOINT),
            control=_endpoint(control, DEFAULT_CONTROL_ENDPOINT),
            seconds=seconds,
            record=record,
            background=background,
            measure=seconds is not None,
            web=web,
            web_origins=tuple(web_origin or ()),
            web_token=web_token,
        )
        typer.echo(f"{choice.role.name} on {choice.sentence()}")
        for warning in drivers.warnings:
            typer.echo(f"Note: {warning}.", err=True)
        session = new_session()
        performer = Performer(choice.role, choice.engine, drivers, identity=identity, stream=stream, session=session)
        with (
            EngineUpgrade(path or Path(), choice.better, engine_settings) as upgrade,
            playing.LiveLoop(
                performer, settings, session=session, window=window, upgrade=upgrade, engine_note=choice.note
            ) as loop,
        ):
            frames_at = loop.publisher.endpoint if loop.publisher else "off"
            controls_at = loop.control_server.endpoint if loop.control_server else "off"
            typer.echo(f"frames {frames_at}  controls {controls_at}  driver {drivers.label}")
            if loop.web is not None:
                typer.echo(f"page {loop.web.url}")
            sys.stdout.flush()
            if window:
                title = f"{choice.role.name} - Bunraku"
                playing.play_in_window(loop, title=title, background=background)
            else:
                playing.play_without_window(loop)
        report = loop.report()
    typer.echo(
        f"{report.frames} frames in {report.seconds:.1f} s: {report.fps:.1f} fps, "
        f"engine {report.engine_ms_p50:.1f} ms, other {report.other_ms_p50:.2f} ms, {report.dropped} dropped"
    )
    if record is not None:
        typer.echo(f"wrote {record}")
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(report).decode())


@app.command()
@_reporting
def view(
    endpoint: Annotated[str, typer.Argument(help="Where the frames are.")] = "tcp://127.0.0.1:5760",
    control: Annotated[
        str | None, typer.Option(help="Where controls go; the producer says it by itself.", show_default=False)
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="Name of the stream; the first one heard by default.", show_default=False)
    ] = None,
    background: Annotated[str, typer.Option(help="checkerboard, green, black, white or #rrggbb.")] = "checkerboard",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Close after so long.", show_default=False)] = None,
) -> None:
    """Show and move a stream that somebody else plays.

    Example: `bunraku view tcp://127.0.0.1:5760`
    """
    from engine_bridge.errors import SinkError
    from engine_bridge.viewer.window import run_window
    from engine_bridge.viewer.wire_source import WireSource

    from .machine import missing_display

    _log_to_stderr()
    if reason := missing_display():
        raise SinkError(f"No window can be opened: {reason}. Run this where there is a screen.")
    with WireSource(endpoint, control=control, stream=stream) as source:
        typer.echo(f"watching {endpoint}")
        run_window(source, title=f"{endpoint} - Bunraku", background=background, seconds=seconds)


@app.command()
@_reporting
def web(
    endpoint: Annotated[str, typer.Argument(help="Where the frames are.")] = "tcp://127.0.0.1:5760",
    *,
    web: Annotated[str, typer.Option(help="Where to serve the page.")] = "127.0.0.1:5762",
    control: Annotated[
        str | None, typer.Option(help="Where controls go; the producer says it by itself.", show_default=False)
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="Name of the stream; the first one heard by default.", show_default=False)
    ] = None,
    web_origin: WebOriginOption = None,
    web_token: WebTokenOption = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long.", show_default=False)] = None,
) -> None:
    """Serve a stream that somebody else plays to browsers: a page, and a relay for it.

    Example: `bunraku web tcp://127.0.0.1:5760 --web 127.0.0.1:5762`
    """
    import threading

    from engine_bridge.web import WebRelay

    from .live import stop_on_signals

    _log_to_stderr()
    stop = threading.Event()
    with (
        WebRelay(
            web,
            frames_endpoint=endpoint,
            control_endpoint=control,
            stream=stream,
            token=web_token,
            origins=tuple(web_origin or ()),
        ) as relay,
        stop_on_signals(stop.set),
    ):
        typer.echo(f"page {relay.url}")
        sys.stdout.flush()
        stop.wait(seconds)


@app.command()
@_reporting
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
    engine: EngineOption = EngineName.auto,
    precision: PrecisionOption = Precision.fp32,
    threads: ThreadsOption = None,
    fps: Annotated[float, typer.Option(min=1.0, max=240.0, help="Frames per second of the film.")] = 30.0,
    start: Annotated[float, typer.Option(min=0.0, help="Where in the recording to begin, seconds.")] = 0.0,
    seconds: Annotated[float | None, typer.Option(min=0.01, help="How long.", show_default=False)] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=100.0, help="2 plays twice as fast.")] = 1.0,
    background: Annotated[str, typer.Option(help="What shows through in an .mp4: a name or #rrggbb.")] = "#202428",
    idle: Annotated[bool, typer.Option("--idle/--no-idle", help="Fill what the recording leaves open.")] = True,
    neutral: Annotated[
        str, typer.Option(help="median, or a second of the recording: the pose that counts as neutral.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Render a recording of controls to a film or pictures: offline, and the same every time.

    Ctrl-C ends it with exit code 130 and leaves nothing half-written.

    Example: `bunraku render aki --controls take.csv --out take.mp4`
    """
    from .render import RenderSettings
    from .render import render as run

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
        idle=idle,
        neutral=neutral,
    )
    with _open(_find(character, engine), engine, precision, _settings(threads, Profile.exclusive)) as choice:
        typer.echo(f"{choice.role.name} on {choice.sentence()}")
        frames, warnings = run(choice.role, choice.engine, settings, progress=_progress(out.name))
    for warning in warnings:
        typer.echo(f"Note: {warning}.", err=True)
    typer.echo(f"wrote {out}: {frames} frames, {frames / fps:.2f} s at {fps:g} fps")
    if as_json:
        label = choice.engine.description.label
        typer.echo(json.dumps({"command": "render", "out": str(out), "frames": frames, "fps": fps, "provider": label}))


@app.command()
@_reporting
def inspect(character: CharacterArgument = None, as_json: JsonOption = False) -> None:
    """Show what is in a character file, after checking all of it.

    Example: `bunraku inspect aki --json`
    """
    import msgspec

    from .character import Character, find_character

    path = find_character(character or _SHIPPED)
    with Character.open(path) as opened:
        manifest = opened.manifest
        graphs = {name: opened.graph(name) for name in opened.members if name.endswith(".onnx")}
        expressions = [expression.name for expression in opened.expressions()]
        report = opened.report()
        w_dim = opened.w_dim
        has_mapping = "mapping.onnx" in opened
    size = f"{manifest.frame.width}x{manifest.frame.height}"
    rows = [
        ("file", f"{path}, {path.stat().st_size / 2**20:.1f} MiB, format {manifest.format}"),
        ("name", manifest.name),
        ("author", manifest.author),
        ("licence", manifest.licence),
        ("AI-generated", "yes" if manifest.ai_generated else "no"),
        ("frame", f"{size} RGBA"),
        ("controls", f"{len(manifest.controls)}: {', '.join(control.name for control in manifest.controls)}"),
        ("identities", f"{len(manifest.identities)}: {', '.join(list(manifest.identities)[:16])}"),
        ("new identities", "yes, by seed" if has_mapping else "no"),
        ("expressions", ", ".join(expressions) or "none"),
        ("w", f"{w_dim} numbers"),
    ]
    for name, graph in graphs.items():
        operators = ", ".join(f"{operator} {count}" for operator, count in sorted(graph.operators.items()))
        rows.append((name, f"opset {graph.opset}, {graph.parameters / 1e6:.2f} M parameters: {operators}"))
    rows += [(f"sha256 {name}", digest.sha256) for name, digest in manifest.files.items()]
    rows += [(f"provenance {key}", json.dumps(value)) for key, value in manifest.provenance.items()]
    rows += [(f"report {key}", json.dumps(value)) for key, value in report.items()]
    _table(["", ""], rows)
    if as_json:
        shown = {
            "command": "inspect",
            "path": str(path),
            "manifest": msgspec.to_builtins(manifest),
            "graphs": {name: msgspec.to_builtins(graph) for name, graph in graphs.items()},
            "expressions": expressions,
            "report": report,
        }
        typer.echo(json.dumps(shown))


@app.command()
@_reporting
def bench(
    character: CharacterArgument = None,
    *,
    engine: EngineOption = EngineName.auto,
    precision: PrecisionOption = Precision.auto,
    threads: ThreadsOption = None,
    profile: ProfileOption = Profile.shared,
    frames: Annotated[int, typer.Option(min=10, max=100_000, help="Frames per measurement.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Measure every engine that works here, and then loop, transport, start-up and memory against the budget.

    Each engine has a process of its own; they take turns, so that a busy minute of the machine hits all alike.

    Example: `bunraku bench aki --engine onnxruntime`
    """
    from . import bench as measuring
    from .machine import describe

    path = _find(character, engine)
    settings = _settings(threads, profile)
    lanes = (
        [] if path is None else measuring.bench_engines(path, _candidates(path, engine, precision), settings, frames)
    )
    if lanes:
        _table(measuring.HEADINGS, [lane.row() for lane in lanes])
        typer.echo(
            "ms: one after another; 60 fps: paced, with the cores it keeps busy; busy: the same beside a competing load"
        )
        typer.echo("dB: lowest percentile of PSNR against fp32 in ONNX Runtime; MB: memory of the process\n")
    with _open(path, engine, precision, settings) as choice:
        typer.echo(f"{choice.role.name} on {choice.sentence()}")
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
    _table(["figure", "value", "budget", ""], rows)
    if as_json:
        import msgspec

        values = {figure.name: figure.value for figure in figures}
        over = [figure.name for figure in figures if not figure.good]
        told = {"command": "bench", "provider": about.label, **values, "over_budget": over}
        told |= {"engines": msgspec.to_builtins(lanes), "machine": describe()}
        typer.echo(json.dumps(told))


@app.command()
@_reporting
def build(
    character: CharacterArgument = None,
    *,
    engine: EngineOption = EngineName.auto,
    precision: PrecisionOption = Precision.auto,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print progress and result as JSON, one object per line.")
    ] = False,
) -> None:
    """Build an engine ahead of time, so that the first start is as fast as the others.

    Only TensorRT and TensorRT-RTX build anything; the others have nothing to do. What is built stays on this machine,
    in this user's cache folder.

    Example: `bunraku build aki --engine tensorrt --precision fp16`
    """
    path = _find(character, engine)
    if path is None:
        raise typer.BadParameter("the test card has nothing to build")

    def tell(phase: str, done: int, of: int) -> bool:
        typer.echo(json.dumps({"phase": phase, "done": done, "of": of}))
        return True

    with _open(path, engine, precision, _settings(None, Profile.shared), progress=tell if as_json else None) as choice:
        if as_json:
            typer.echo(json.dumps({"command": "build", "provider": choice.engine.description.label}))
        else:
            typer.echo(f"ready: {choice.role.name} on {choice.sentence()}")


@app.command()
@_reporting
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, what will be used, what is missing and how to get it.

    Exit code 1 if something that Bunraku needs is missing.

    Example: `bunraku doctor`
    """
    import msgspec

    from .doctor import MISSING, examine

    findings = examine()
    _table(["", "", "found", "what to do"], [(f.name, f.state, f.found, f.advice) for f in findings])
    if as_json:
        typer.echo(json.dumps({"command": "doctor", "findings": msgspec.to_builtins(findings)}))
    if any(finding.state == MISSING for finding in findings):
        raise typer.Exit(1)


def _find(character: str | None, engine: EngineName) -> Path | None:
    """The character's file; None for the test card."""
    from .character import find_character

    return None if engine is EngineName.synthetic and character is None else find_character(character or _SHIPPED)


def _settings(threads: int | None, profile: Profile) -> EngineSettings:
    from .engines import EngineSettings

    return EngineSettings(threads, "exclusive" if profile is Profile.exclusive else "shared")


def _open(
    path: Path | None,
    engine: EngineName,
    precision: Precision,
    settings: EngineSettings,
    *,
    quick: bool = False,
    progress: Callable[[str, int, int], bool] | None = None,
) -> Choice:
    """The active engine and the role for what the command line names; the file is closed again.

    If something must be built, its progress is shown, or told to `progress`.
    """
    from .character import Character
    from .engines import open_engine

    if path is None:
        return open_engine(engine.value, None)
    with Character.open(path) as opened, _BuildBar() as bar:
        return open_engine(
            engine.value, opened, precision=precision.value, settings=settings, quick=quick, progress=progress or bar
        )


class _BuildBar:
    """A bar per phase of a build, on stderr; nothing if nothing is built."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _BuildBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, of: int) -> bool:
        """Show how far a phase is; called from the thread that builds."""
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=of)
        self._bar.update(self._tasks[phase], completed=done, total=of)
        return True


def _candidates(path: Path, engine: EngineName, precision: Precision) -> Sequence[Candidate]:
    from .character import Character
    from .engines import candidates

    with Character.open(path) as opened:
        return candidates(engine.value, opened, precision.value)[0]


def _endpoint(given: str | None, default: str) -> str | None:
    return None if given == "off" else given or default


def _mark(good: bool) -> str:
    return "" if good else "over"


def _progress(name: str) -> Callable[[int, int], None] | None:
    """One line that is written over, for people; nothing when nobody looks."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r{name}: {done}/{total} frames{end}")
            sys.stderr.flush()

    return show


def _table(headings: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=any(headings), pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)


def main() -> None:
    """Entry point of `bunraku`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
