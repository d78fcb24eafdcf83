"""The command line `bunraku`. Knows how to ask and how to say it; everything else is a call that anybody can make."""

from __future__ import annotations

from .start import leave_on_interrupt

if __name__ == "__main__":  # `python -m runtime.cli`: Ctrl-C is quiet during the imports below too
    leave_on_interrupt()

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from . import cli_keys, cli_streams, cli_web
from .cli_parts import JsonOption, reporting
from .cli_web import WebOption, WebOriginOption, WebTokenOption
from .terminal import escaped, log_to_stderr, run_command_line, say, say_json, table

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
app.add_typer(cli_keys.app)
app.command()(cli_streams.streams)
app.command()(cli_web.web)

_STREAM: Final = "bunraku"
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


class Variant(str, Enum):
    """What `--variant` takes."""

    raw = "raw"
    lz4 = "lz4"
    jpeg = "jpeg"
    shm = "shm"


class Profile(str, Enum):
    """What `--profile` takes."""

    shared = "shared"
    exclusive = "exclusive"


class Layout(str, Enum):
    """What becomes of alpha where only RGB is taken."""

    flat = "flat"
    side_by_side = "side-by-side"


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


@app.command()
@reporting
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
    camera: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Virtual camera to show her: its name, or auto.", show_default=False),
    ] = None,
    camera_layout: Annotated[
        Layout, typer.Option(help="flat: over the background; side-by-side: twice as wide, alpha on the right.")
    ] = Layout.flat,
    spout: Annotated[
        str | None, typer.Option(metavar="NAME", help="Spout sender with alpha; Windows only.", show_default=False)
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long.", show_default=False)] = None,
    stream: Annotated[str, typer.Option(help="Name of the stream.")] = _STREAM,
    people: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Several people at once, each as a stream of its name: aki,neko,ren.",
            show_default=False,
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder of `bunraku keys`: let in who is on its list, and nobody else.", show_default=False),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines in without keys: everybody may watch and steer.")
    ] = False,
    web: WebOption = None,
    web_origin: WebOriginOption = None,
    web_token: WebTokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a character: show a window, publish frames, take controls.

    Without a window and without a subscriber nothing is drawn, unless `--record`, `--camera`, `--spout` or `--seconds`
    asks for it. Ctrl-C, SIGTERM, SIGHUP or closing the window ends the play cleanly, with exit code 0; 1 if a
    recording could not be completed.

    While it is written, the recording `take.mp4` is called `take.unfinished-PROCESS.mp4`. That one plays too, and stays
    if anything goes wrong. A `take.mp4` that is already there is replaced when the new one is complete.

    `--engine auto` begins at once on the processor; where there is a GPU, its engine is built and loaded meanwhile and
    takes over between two frames.

    With `--people` one process plays several people of one character. Their frames go out of one endpoint under
    their names, their controls come in at one endpoint each, and the window shows the first.

    Example: `bunraku live --driver recording:take.csv --record take.mp4`
    """
    from engine_bridge.endpoints import DEFAULT_CONTROL_ENDPOINT, DEFAULT_FRAMES_ENDPOINT
    from engine_bridge.errors import SinkError
    from engine_bridge.keys import read_server_keys
    from engine_bridge.wire import new_session, topic_of

    from . import live as playing
    from .camera import CameraSettings
    from .drivers import open_drivers
    from .machine import missing_display
    from .performer import Performer
    from .upgrade import EngineUpgrade

    log_to_stderr()
    if window and (reason := missing_display()):
        raise SinkError(
            f"No window can be opened: {reason}. Add --no-window; `bunraku view` shows the stream elsewhere."
        )
    cast = _cast(people, identity, stream)
    for name, _ in cast:
        topic_of(name)
    if keys is not None and insecure:
        raise typer.BadParameter("--keys and --insecure exclude each other")
    server_keys = None if keys is None else read_server_keys(keys)
    engine_settings = _settings(threads, profile)
    path = _find(character, engine)
    with _open(path, engine, precision, engine_settings, quick=True) as choice:
        drivers = [
            open_drivers(driver or [], choice.role.idle, window=window, person=index) for index in range(len(cast))
        ]
        settings = playing.LiveSettings(
            fps=fps,
            publish=_endpoint(publish, DEFAULT_FRAMES_ENDPOINT),
            control=_endpoint(control, DEFAULT_CONTROL_ENDPOINT),
            seconds=seconds,
            record=record,
            background=background,
            camera=None
            if camera is None
            else CameraSettings(device=camera, layout=camera_layout.value, background=background),
            spout=spout,
            measure=seconds is not None,
            keys=server_keys,
            insecure=insecure,
            web=web,
            web_origins=tuple(web_origin or ()),
            web_token=web_token,
        )
        say(f"{choice.role.name} on {choice.sentence()}")
        for warning in drivers[0].warnings:
            say(f"Note: {warning}.", err=True)
        performers = [
            Performer(choice.role, choice.engine, moved, identity=who, stream=name, session=new_session())
            for (name, who), moved in zip(cast, drivers, strict=True)
        ]
        with (
            EngineUpgrade(path or Path(), choice.better, engine_settings) as upgrade,
            playing.LiveLoop(performers, settings, window=window, upgrade=upgrade, engine_note=choice.note) as loop,
        ):
            for played in loop.streams:
                frames_at = played.publisher.endpoint if played.publisher else "off"
                controls_at = played.control_server.endpoint if played.control_server else "off"
                name = f"{played.performer.stream}: " if people else ""
                say(f"{name}frames {frames_at}  controls {controls_at}  driver {drivers[0].label}")
            if loop.sinks:
                say(f"showing on {', '.join(loop.sinks)}")
            if loop.web is not None:
                say(f"page {loop.web.url}")
            sys.stdout.flush()
            if window:
                title = f"{choice.role.name} - Bunraku"
                playing.play_in_window(loop, title=title, background=background, tell=say)
            else:
                playing.play_without_window(loop)
        report = loop.report()
    say(
        f"{report.frames} frames in {report.seconds:.1f} s: {report.fps:.1f} fps, "
        f"engine {report.engine_ms_p50:.1f} ms, other {report.other_ms_p50:.2f} ms, {report.dropped} dropped"
    )
    if report.recordings:
        left_out = f", {report.recording_missed} frames left out" if report.recording_missed else ""
        say(f"wrote {', '.join(report.recordings)}{left_out}")
    if as_json:
        say_json(report)


@app.command()
@reporting
def view(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="ENDPOINT|NAME",
            help="Where the frames are, or the name of a stream on this machine; the only one by default.",
            show_default=False,
        ),
    ] = None,
    *,
    key: Annotated[
        Path | None,
        typer.Option(help="Key file from `bunraku keys add`, for a producer with keys.", show_default=False),
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Where controls go; the producer says it by itself.", show_default=False)
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="Name of the stream; the first one heard by default.", show_default=False)
    ] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(
            help="How pixels travel.  [default: shared memory on this machine, jpeg from another]",
            show_default=False,
        ),
    ] = None,
    background: Annotated[str, typer.Option(help="checkerboard, green, black, white or #rrggbb.")] = "checkerboard",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Close after so long.", show_default=False)] = None,
) -> None:
    """Show and move a stream that somebody else plays.

    Without ENDPOINT and without a stream on this machine it waits at tcp://127.0.0.1:5760 for one.

    Example: `bunraku view tcp://192.168.0.7:5760 --key laptop.client.toml`
    """
    from engine_bridge.endpoints import is_for_this_machine
    from engine_bridge.errors import SinkError
    from engine_bridge.keys import read_client_keys
    from engine_bridge.viewer.window import run_window
    from engine_bridge.viewer.wire_source import WireSource

    from .machine import missing_display

    log_to_stderr()
    if reason := missing_display():
        raise SinkError(f"No window can be opened: {reason}. Run this where there is a screen.")
    client_keys = None if key is None else read_client_keys(key)
    endpoint, found = cli_streams.place_to_watch(where, stream, client_keys)
    if variant is None and not is_for_this_machine(endpoint):
        variant = Variant.jpeg  # raw frames fill a cable
    with WireSource(
        endpoint, control=control, stream=stream or found, variant=variant and variant.value, keys=client_keys
    ) as source:
        say(f"watching {endpoint}" + (f" as {variant.value}" if variant else ""))
        sys.stdout.flush()
        run_window(source, title=f"{found or endpoint} - Bunraku", background=background, seconds=seconds, tell=say)


@app.command()
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
    engine: EngineOption = EngineName.auto,
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
    idle: Annotated[bool, typer.Option("--idle/--no-idle", help="Fill what the recording leaves open.")] = True,
    neutral: Annotated[
        str, typer.Option(help="median, or a second of the recording: the pose that counts as neutral.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Render a recording of controls to a film or pictures: offline, and the same every time.

    Ctrl-C, SIGTERM or SIGHUP end it with exit code 130 and leave nothing half-written.

    Example: `bunraku render aki --controls take.csv --out take.mp4`
    """
    from .render import RenderSettings
    from .render import render as run
    from .signals import interrupt_on_signals

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
    how = _settings(threads, Profile.exclusive, patient=True)
    with _open(_find(character, engine), engine, precision, how) as choice:
        say(f"{choice.role.name} on {choice.sentence()}")
        with interrupt_on_signals():
            frames, warnings = run(choice.role, choice.engine, settings, progress=_progress(out.name))
    for warning in warnings:
        say(f"Note: {warning}.", err=True)
    say(f"wrote {out}: {frames} frames, {frames / fps:.2f} s at {fps:g} fps")
    if as_json:
        label = choice.engine.description.label
        say_json({"command": "render", "out": str(out), "frames": frames, "fps": fps, "provider": label})


@app.command()
@reporting
def inspect(character: CharacterArgument = None, as_json: JsonOption = False) -> None:
    """Show what is in a character file, after checking all of it.

    Example: `bunraku inspect aki --json`
    """
    from engine_bridge.plain_text import LINE_CHARS, plain

    from .character import Character, find_character
    from .free_form import free_form_rows

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
        ("name", plain(manifest.name)),
        ("author", plain(manifest.author, LINE_CHARS)),
        ("licence", plain(manifest.licence, LINE_CHARS)),
        ("AI-generated", "yes" if manifest.ai_generated else "no"),
        ("frame", f"{size} RGBA"),
        ("controls", f"{len(manifest.controls)}: {', '.join(control.name for control in manifest.controls)}"),
        ("identities", f"{len(manifest.identities)}: {', '.join(manifest.identities)}"),
        ("new identities", "yes, by seed" if has_mapping else "no"),
        ("expressions", ", ".join(expressions) or "none"),
        ("w", f"{w_dim} numbers"),
    ]
    for name, graph in graphs.items():
        operators = ", ".join(f"{operator} {count}" for operator, count in sorted(graph.operators.items()))
        rows.append((name, f"opset {graph.opset}, {graph.parameters / 1e6:.2f} M parameters: {operators}"))
    rows += [(f"sha256 {name}", digest.sha256) for name, digest in manifest.files.items()]
    rows += free_form_rows("provenance", manifest.provenance)
    rows += free_form_rows("report", report)
    table(["", ""], rows)
    if as_json:
        shown = {
            "command": "inspect",
            "path": str(path),
            "manifest": manifest,
            "graphs": graphs,
            "expressions": expressions,
            "report": report,
        }
        say_json(shown)


@app.command()
@reporting
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
        table(measuring.HEADINGS, [lane.row() for lane in lanes], tight=True)
        say(
            "start: seconds to the first picture. p50, p99: ms of each, one after another.\n"
            "60Hz: ms at 60 a second, with the fps and the cores it keeps busy.\n"
            "busy: the same beside a competing load. MB: memory of the process.\n"
            "dB: lowest percentile of PSNR against fp32 in ONNX Runtime.\n"
        )
    with _open(path, engine, precision, settings) as choice:
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


@app.command()
@reporting
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
        say_json({"phase": phase, "done": done, "of": of})
        return True

    with _open(path, engine, precision, _settings(None, Profile.shared), progress=tell if as_json else None) as choice:
        if as_json:
            say_json({"command": "build", "provider": choice.engine.description.label})
        else:
            say(f"ready: {choice.role.name} on {choice.sentence()}")


@app.command()
@reporting
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, what will be used, what is missing and how to get it.

    Exit code 1 if something that Bunraku needs is missing.

    Example: `bunraku doctor`
    """
    from .doctor import MISSING, examine

    findings = examine()
    table(["", "", "found", "what to do"], [(f.name, f.state, f.found, f.advice) for f in findings])
    if as_json:
        say_json({"command": "doctor", "findings": findings})
    if any(finding.state == MISSING for finding in findings):
        raise typer.Exit(1)


def _find(character: str | None, engine: EngineName) -> Path | None:
    """The character's file; None for the test card."""
    from .character import find_character

    return None if engine is EngineName.synthetic and character is None else find_character(character or _SHIPPED)


def _cast(people: str | None, identity: str | None, stream: str) -> list[tuple[str, str | None]]:
    """Who plays: pairs of a stream's name and an identity."""
    if people is None:
        return [(stream, identity)]
    if identity is not None or stream != _STREAM:
        raise typer.BadParameter("--people names identities and streams; leave out --identity and --stream")
    names = [name.strip() for name in people.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise typer.BadParameter(f'--people "{people[:80]}": write different names with commas between them')
    return [(name, name) for name in names]


def _settings(threads: int | None, profile: Profile, *, patient: bool = False) -> EngineSettings:
    from .engines import EngineSettings

    return EngineSettings(threads, "exclusive" if profile is Profile.exclusive else "shared", patient=patient)


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
            engine.value,
            opened,
            precision=precision.value,
            settings=settings,
            quick=quick,
            progress=progress or bar,
            tell=_tell,
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
            from rich.markup import escape
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(escape(phase), total=of)
        self._bar.update(self._tasks[phase], completed=done, total=of)
        return True


def _candidates(path: Path, engine: EngineName, precision: Precision) -> Sequence[Candidate]:
    from .character import Character
    from .engines import candidates
    from .first_load import ensure_tried

    with Character.open(path) as opened:
        ensure_tried(opened, tell=_tell)
        return candidates(engine.value, opened, precision.value)[0]


def _tell(text: str) -> None:
    """Say something beside what the command prints."""
    from engine_bridge.plain_text import LINE_CHARS, plain

    say(plain(text, LINE_CHARS), err=True)


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
            sys.stderr.write(f"\r{escaped(name)}: {done}/{total} frames{end}")
            sys.stderr.flush()

    return show


def main() -> None:
    """Run one command line and end the process."""
    run_command_line(app)


if __name__ == "__main__":
    main()
