"""`bunraku live`: play a character."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.character.shipped import SHIPPED
from runtime.terminal import log_to_stderr, say, say_json

from .opening import find, open_choice, settings_of
from .options import (
    AUTO,
    STREAM,
    EngineOption,
    IdentityOption,
    JsonOption,
    Layout,
    Precision,
    PrecisionOption,
    Profile,
    ProfileOption,
    ThreadsOption,
)
from .reporting import reporting
from .web import WebOption, WebOriginOption, WebTokenOption

if TYPE_CHECKING:
    from engine_bridge.access.keys import ServerKeys
    from runtime.drivers.table import Sources
    from runtime.engines.choice import Choice
    from runtime.engines.factory import EngineSettings
    from runtime.live.loop import Act, LiveLoop
    from runtime.live.performer import Performer
    from runtime.live.report import LiveReport


@reporting
def live(
    characters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHARACTER",
            help=f"A .bunraku file, or the name of a shipped character; several play at once.  [default: {SHIPPED}]",
            show_default=False,
        ),
    ] = None,
    *,
    identity: IdentityOption = None,
    engine: EngineOption = AUTO,
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
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SINK",
            help="Also show her there: camera:auto, spout:NAME (Windows) or film:FILE; may be given again.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="Where only RGB goes, over the background, or side-by-side with alpha on the right.")
    ] = Layout.flat,
    camera: Annotated[str | None, typer.Option(hidden=True)] = None,
    camera_layout: Annotated[Layout | None, typer.Option(hidden=True)] = None,
    spout: Annotated[str | None, typer.Option(hidden=True)] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long.", show_default=False)] = None,
    stream: Annotated[str, typer.Option(help="Name of the stream.")] = STREAM,
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

    Without a window and without a subscriber nothing is drawn, unless `--record`, `--to` or `--seconds` asks for it.
    Ctrl-C, SIGTERM, SIGHUP or closing the window exits cleanly with code 0, or 1 if a recording is
    not complete.

    While it is written, the recording `take.mp4` is called `take.unfinished-PROCESS.mp4`. That one plays too, and stays
    if anything goes wrong. A `take.mp4` that is already there is replaced when the new one is complete.

    `--engine auto` begins at once on the CPU. Where there is a GPU, its engine is built and loaded in the background
    and takes over between two frames.

    Several characters can play at once. Each has its own engine and a stream with the name of its file.

    With `--people` one process plays several people of one character. Each is a stream with its name and a control
    endpoint of its own; the window shows the first.

    Example: `bunraku live --driver recording:take.csv --record take.mp4`
    """
    from engine_bridge.access.endpoints import DEFAULT_CONTROL_ENDPOINT, DEFAULT_FRAMES_ENDPOINT
    from runtime.drivers.table import Sources
    from runtime.live.loop import LiveLoop
    from runtime.live.play import play_in_window, play_without_window
    from runtime.live.settings import LiveSettings

    log_to_stderr()
    if window:
        _need_display()
    # What is asked for, before an engine is opened, which may take minutes.
    film, sinks = _sinks(to or [], record, camera, spout)
    casts = _casts(characters or [], people, identity, stream)
    settings = LiveSettings(
        fps=fps,
        publish=_endpoint(publish, DEFAULT_FRAMES_ENDPOINT),
        control=_endpoint(control, DEFAULT_CONTROL_ENDPOINT),
        seconds=seconds,
        record=film,
        background=background,
        sinks=sinks,
        layout=(camera_layout or layout).value,
        measure=seconds is not None,
        keys=_server_keys(keys, insecure=insecure),
        insecure=insecure,
        web=web,
        web_origins=tuple(web_origin or ()),
        web_token=web_token,
    )
    with ExitStack() as stack:
        sources = stack.enter_context(Sources(driver or [], window=window))
        acts = _open_acts(stack, characters or [""], casts, sources, engine, precision, settings_of(threads, profile))
        for warning in sources.warnings:
            say(f"Note: {warning}.", err=True)
        # Faster engines are built from now on, beside the show.
        for act in acts:
            if act.upgrade is not None:
                stack.enter_context(act.upgrade)
        with LiveLoop(acts, settings, window=window) as loop:
            _say_where(loop)
            if window:
                title = f"{acts[0].performers[0].role.name} - Bunraku"
                play_in_window(loop, title=title, background=background, tell=say)
            else:
                play_without_window(loop)
        report = loop.report()
    _say_how_it_went(report)
    if as_json:
        say_json(report)


def _need_display() -> None:
    from engine_bridge.errors import SinkError
    from runtime.machine import missing_display

    if reason := missing_display():
        raise SinkError(
            f"No window can be opened: {reason}. Add --no-window; `bunraku view` shows the stream elsewhere."
        )


def _sinks(
    to: list[str], record: Path | None, camera: str | None, spout: str | None
) -> tuple[Path | None, tuple[str, ...]]:
    """The film to record, if any, and the other sinks; `--camera` and `--spout` are older words for two of them."""
    from runtime.sinks.table import FILM

    parted = [(asked, *asked.partition(":")) for asked in to]
    films = [Path(file) for _, name, _, file in parted if name == FILM]
    films += [] if record is None else [record]
    if len(films) > 1 or Path() in films:
        raise typer.BadParameter("one film at a time: --to film:FILE or --record FILE")
    others = [asked for asked, name, *_ in parted if name != FILM]
    others += [] if camera is None else [f"camera:{camera}"]
    others += [] if spout is None else [f"spout:{spout}"]
    return (films[0] if films else None), tuple(others)


def _casts(
    characters: list[str], people: str | None, identity: str | None, stream: str
) -> list[list[tuple[str, str | None]]]:
    """Who plays each character: pairs of a stream's name and an identity."""
    from engine_bridge.avf.wire import topic_of

    if len(characters) > 1:
        if people is not None or identity is not None or stream != STREAM:
            raise typer.BadParameter("--people, --identity and --stream go with one character")
        casts = _one_each(characters)
    elif people is not None:
        if identity is not None or stream != STREAM:
            raise typer.BadParameter("--people names identities and streams; leave out --identity and --stream")
        casts = [_several(people)]
    else:
        casts = [[(stream, identity)]]
    for name, _ in (person for cast in casts for person in cast):
        topic_of(name)  # whether a stream can have this name
    return casts


def _one_each(characters: list[str]) -> list[list[tuple[str, str | None]]]:
    names = [Path(character).stem for character in characters]
    if len(set(names)) < len(names):
        raise typer.BadParameter("each stream has the name of its file: give files with different names")
    return [[(name, None)] for name in names]


def _several(people: str) -> list[tuple[str, str | None]]:
    names = [name.strip() for name in people.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise typer.BadParameter(f'--people "{people[:80]}": write different names with commas between them')
    return [(name, name) for name in names]


def _server_keys(folder: Path | None, *, insecure: bool) -> ServerKeys | None:
    from engine_bridge.access.keys import read_server_keys

    if folder is not None and insecure:
        raise typer.BadParameter("--keys and --insecure exclude each other")
    return None if folder is None else read_server_keys(folder)


def _endpoint(given: str | None, default: str) -> str | None:
    return None if given == "off" else given or default


def _open_acts(
    stack: ExitStack,
    characters: list[str],
    casts: list[list[tuple[str, str | None]]],
    sources: Sources,
    engine: str,
    precision: Precision,
    settings: EngineSettings,
) -> list[Act]:
    """Each character on an engine of its own, which the stack closes; an empty name is the default character."""
    from runtime.engines.upgrade import EngineUpgrade
    from runtime.live.loop import Act

    acts: list[Act] = []
    for character, cast in zip(characters, casts, strict=True):
        path = find(character or None, engine)
        choice = stack.enter_context(open_choice(path, engine, precision, settings, quick=True))
        say(f"{choice.role.name} on {choice.sentence()}")
        upgrade = EngineUpgrade(path or Path(), choice.better, settings)
        before = sum(len(act.performers) for act in acts)
        acts.append(Act(_performers(choice, cast, sources, before), upgrade, choice.note))
    return acts


def _performers(choice: Choice, cast: list[tuple[str, str | None]], sources: Sources, first: int) -> list[Performer]:
    """The people of one character; `first` is the number of the first of them among all on the stage."""
    from engine_bridge.avf.wire import new_session
    from runtime.live.performer import Performer

    return [
        Performer(
            choice.role,
            choice.engine,
            sources.drivers_of(choice.role.idle, person=person),
            identity=who,
            stream=name,
            session=new_session(),
        )
        for person, (name, who) in enumerate(cast, first)
    ]


def _say_where(loop: LiveLoop) -> None:
    """Where frames go and controls come in."""
    for played in loop.streams:
        frames_at = played.publisher.endpoint if played.publisher else "off"
        controls_at = played.control_server.endpoint if played.control_server else "off"
        name = f"{played.performer.stream}: " if len(loop.streams) > 1 else ""
        say(f"{name}frames {frames_at}  controls {controls_at}  driver {played.performer.drivers.label}")
    if loop.sinks:
        say(f"showing on {', '.join(loop.sinks)}")
    if loop.web is not None:
        say(f"page {loop.web.url}")
    sys.stdout.flush()


def _say_how_it_went(report: LiveReport) -> None:
    say(
        f"{report.frames} frames in {report.seconds:.1f} s: {report.fps:.1f} fps, "
        f"engine {report.engine_ms_p50:.1f} ms, other {report.other_ms_p50:.2f} ms, {report.dropped} dropped"
    )
    if report.recordings:
        left_out = f", {report.recording_missed} frames left out" if report.recording_missed else ""
        say(f"wrote {', '.join(report.recordings)}{left_out}")
