"""The live loop: the only place where stage, clock, sockets, window and recorder meet.

One thread draws and sends; the window, if there is one, has the main thread; the recorder has its own. None of them
ever waits for another.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from engine_bridge.clock import now_ns
from engine_bridge.control_server import ControlServer
from engine_bridge.errors import BunrakuError
from engine_bridge.frame import Frame
from engine_bridge.messages import ControlSpec, ExpressionSpec, LiveStats, Provenance, StreamInfo
from engine_bridge.publisher import Publisher

from .character import Role
from .controls import RULES, VOCABULARY
from .machine import seconds_since_process_start
from .pacing import FramePacer
from .performer import Performer, Timings
from .recorder import Recorder
from .sinks import Film, parse_colour
from .stage import Stage
from .upgrade import EngineUpgrade
from .window_source import WindowSource

if TYPE_CHECKING:
    from engine_bridge.web import WebRelay

logger = logging.getLogger(__name__)

_FREE_ENDPOINT: Final = "tcp://127.0.0.1:0"
_STATS_NS: Final = 500_000_000
_NOBODY_WATCHES_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """What the loop does besides drawing.

    Attributes:
        fps: frames per second to aim at.
        stream: name of the stream.
        publish: endpoint for frames, None for none.
        control: endpoint for controls, None for none.
        seconds: stop after so long, None for never.
        record: file for pictures or controls, None for none.
        background: what shows through in a film.
        measure: draw even if nobody watches.
        web: address of the page for browsers, None for none.
        web_origins: pages of other origins that may connect.
        web_token: that browsers must show; None draws one where one is needed.
    """

    fps: float = 60.0
    stream: str = "bunraku"
    publish: str | None = None
    control: str | None = None
    seconds: float | None = None
    record: Path | None = None
    background: str = "#202428"
    measure: bool = False
    web: str | None = None
    web_origins: tuple[str, ...] = ()
    web_token: str | None = None


class LiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop did; the object that `--json` prints.

    Attributes:
        command: always `live`.
        character: name.
        provider: engine, provider and precision at the end.
        engine_version: of the engine's library.
        precision: of the engine.
        engine_note: why it is this engine.
        engine_swaps: how often a faster engine took over.
        threads: that compute.
        width: of the frames in pixels.
        height: of the frames in pixels.
        target_fps: frames per second aimed at.
        fps: frames per second delivered, from the first frame to the last.
        frames: frames delivered.
        dropped: frames skipped because they would have been late.
        interval_error_ms_p50: how far the distance of two frames is from the period, median.
        interval_error_ms_p99: its 99th percentile.
        engine_ms_p50: one inference, median.
        engine_ms_p99: its 99th percentile.
        other_ms_p50: everything in a round but the inference, median: controls, identity, sending, handing over.
        other_ms_p99: its 99th percentile.
        first_frame_s: from the start of the process to the first frame.
        rss_mb: resident memory at the end, mebibytes.
        seconds: how long frames were delivered.
        recorded: frames written to the recording.
        bad_controls: control states that were refused.
        motion_to_photon_ms: median from a window's control to the frame that answers it, None if there was none.
    """

    command: str = "live"
    character: str
    provider: str
    engine_version: str
    precision: str
    engine_note: str
    engine_swaps: int
    threads: int
    width: int
    height: int
    target_fps: float
    fps: float
    frames: int
    dropped: int
    interval_error_ms_p50: float
    interval_error_ms_p99: float
    engine_ms_p50: float
    engine_ms_p99: float
    other_ms_p50: float
    other_ms_p99: float
    first_frame_s: float | None
    rss_mb: float
    seconds: float
    recorded: int
    bad_controls: int
    motion_to_photon_ms: float | None


def stream_info(role: Role, *, session: int, stream: str, fps: float, provider: str, derived: bool) -> StreamInfo:
    """What clients and windows are told about a role.

    Args:
        role: the character.
        session: number of this start.
        stream: name of the stream.
        fps: frames per second aimed at.
        provider: engine, provider and precision at the end.
        derived: also name the controls that the character does not take itself but that move it through `RULES`.
    """
    taken = {control.name for control in role.controls}
    specs = [ControlSpec(c.name, c.minimum, c.maximum, c.rest, c.group) for c in role.controls]
    if derived:
        sources = {name for rule in RULES if rule.target in taken for name, _ in rule.terms} - taken
        more = [control for control in VOCABULARY.values() if control.name in sources]
        specs += [ControlSpec(c.name, c.minimum, c.maximum, c.rest, "derived") for c in more]
    return StreamInfo(
        session=session,
        stream=stream,
        character=role.name,
        width=role.width,
        height=role.height,
        fps=fps,
        controls=specs,
        identities=list(role.latents.names),
        expressions=[ExpressionSpec(expression.name, expression.hotkey) for expression in role.expressions],
        has_mapping=role.latents.has_mapping,
        provider=provider,
    )


class LiveLoop:
    """Draws one character for whoever watches. Open it as a context manager, then call `run` in any one thread.

    Attributes:
        source: the stream for a window of this process, None if there is to be none.
        publisher: None if nothing is published.
        control_server: None if no controls are taken from sockets.
        web: the page for browsers, None if there is none.
        error: what ended the loop, if something did.
    """

    def __init__(
        self,
        performer: Performer,
        settings: LiveSettings,
        *,
        session: int,
        window: bool,
        upgrade: EngineUpgrade | None = None,
        engine_note: str = "",
    ) -> None:
        """Open sockets and the recording.

        Args:
            performer: who plays.
            settings: what else to do.
            session: number of the stream.
            window: whether a window of this process will show it.
            upgrade: a faster engine that may come; what it replaces is handed to it.
            engine_note: why the engine is the one it is.

        Raises:
            WireError: an endpoint is taken or not allowed.
            SinkError: the recording cannot be written.
        """
        self._performer = performer
        self._stage = Stage([performer])
        self._settings = settings
        self._upgrade = upgrade
        self._engine_note = engine_note
        self._swaps = 0
        self._pacer = FramePacer(settings.fps)
        self._stop = threading.Event()
        self._start_ns = 0
        self._first_ns = 0
        self._last_ns = 0
        self._frames = 0
        self._first_frame_s: float | None = None
        self._intervals = Timings()
        self._others = Timings()
        self._stats_due_ns = 0
        self._recent: tuple[int, int] = (0, 0)
        self._said_bad = 0
        self._recorder: Recorder | None = None
        self._finished: list[Recorder] = []
        self._recorded = 0
        self._record_lock = threading.Lock()
        self.error: BaseException | None = None
        self.control_server: ControlServer | None = None
        self.publisher: Publisher | None = None
        self.web: WebRelay | None = None
        role = performer.role
        provider = performer.engine.description.label

        def info(*, derived: bool) -> StreamInfo:
            return stream_info(
                role, session=session, stream=settings.stream, fps=settings.fps, provider=provider, derived=derived
            )

        self.source = WindowSource(info(derived=False), performer.drivers.window) if window else None
        with contextlib.ExitStack() as unless_all_open:
            unless_all_open.callback(self._close_sockets)
            if settings.control is not None:
                self.control_server = ControlServer(settings.control, info(derived=True), resend_last=self._resend)
            # The page takes its frames from the publisher, as every client does.
            publish = settings.publish or (_FREE_ENDPOINT if settings.web is not None else None)
            if publish is not None:
                self.publisher = Publisher(
                    publish,
                    stream=settings.stream,
                    session=session,
                    provenance=provenance_of(role),
                    control_endpoint=self.control_server.endpoint if self.control_server else "",
                )
            if settings.web is not None and self.publisher is not None:
                self.web = _open_web(settings.web, settings, self.publisher, self.control_server)
            if settings.record is not None:
                self._recorder = self._open_recorder(settings.record)
            unless_all_open.pop_all()

    def __enter__(self) -> LiveLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say bye, free the sockets, complete recordings. The loop must have ended.

        Raises:
            SinkError: a recording could not be written.
        """
        self._close_sockets()
        if self._recorder is not None:
            self._finished.append(self._recorder)
            self._recorder = None
        while self._finished:
            recorder = self._finished.pop()
            recorder.close()
            self._recorded += recorder.written

    def stop(self) -> None:
        """End the loop after the present round; may be called from any thread or signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Draw until stopped; what goes wrong is kept in `error` for the main thread to raise."""
        try:
            gc.collect()
            gc.freeze()
            self._start_ns = now_ns()
            while not self._stop.is_set():
                self._round()
        except BaseException as error:  # the edge of the thread; the main thread raises it
            self.error = error
        finally:
            gc.unfreeze()
            self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether the loop has ended or is about to."""
        return self._stop.is_set()

    def record(self, start: bool) -> str:
        """Start or stop a recording from a window's key; never blocks on the disk.

        Returns:
            A sentence for the user.

        Raises:
            SinkError: a new recording cannot be started.
        """
        with self._record_lock:
            if not start:
                if self._recorder is None:
                    return "Nothing is being recorded"
                recorder, self._recorder = self._recorder, None
                recorder.finish()
                self._finished.append(recorder)
                return f"Saving {recorder.path.name}"
            if self._recorder is None:
                name = time.strftime("bunraku-%Y%m%d-%H%M%S.mp4")
                self._recorder = self._open_recorder(Path.cwd() / name)
            return f"Recording {self._recorder.path.name}"

    def report(self) -> LiveReport:
        """What the loop did; what was recorded is known after `close`."""
        import psutil

        performer = self._performer
        about = performer.engine.description
        seconds = (self._last_ns - self._first_ns) / 1e9
        photons = self.source.motion_to_photon if self.source else None
        return LiveReport(
            character=performer.role.name,
            provider=about.label,
            engine_version=about.version,
            precision=about.precision,
            engine_note=self._engine_note,
            engine_swaps=self._swaps,
            threads=about.threads,
            width=about.width,
            height=about.height,
            target_fps=self._settings.fps,
            fps=round((self._frames - 1) / seconds, 3) if seconds > 0 else 0.0,
            frames=self._frames,
            dropped=self._pacer.dropped,
            interval_error_ms_p50=round(self._intervals.percentile_ms(50), 3),
            interval_error_ms_p99=round(self._intervals.percentile_ms(99), 3),
            engine_ms_p50=round(performer.engine_times.percentile_ms(50), 3),
            engine_ms_p99=round(performer.engine_times.percentile_ms(99), 3),
            other_ms_p50=round(self._others.percentile_ms(50), 3),
            other_ms_p99=round(self._others.percentile_ms(99), 3),
            first_frame_s=None if self._first_frame_s is None else round(self._first_frame_s, 3),
            rss_mb=round(psutil.Process().memory_info().rss / 2**20, 1),
            seconds=round(seconds, 3),
            recorded=self._recorded,
            bad_controls=performer.bad_controls + (sum(self.control_server.bad.values()) if self.control_server else 0),
            motion_to_photon_ms=round(photons.percentile_ms(50), 2) if photons else None,
        )

    def _round(self) -> None:
        if not self._anybody_watches():
            self._pacer.restart()
            self._listen()
            self._tell(now_ns())
            self._stop.wait(_NOBODY_WATCHES_S)
            self._check_time(now_ns())
            return
        self._pacer.wait()
        self._take_better_engine()
        begun = now_ns()
        self._listen()
        for frame in self._stage.tick(now_ns()):
            self._deliver(frame)
        done = now_ns()
        self._count(begun, done)
        self._tell(done)
        self._check_time(done)

    def _take_better_engine(self) -> None:
        """Between two frames, so that each is whole and drawn by one engine."""
        engine = self._upgrade.take() if self._upgrade is not None else None
        if engine is None or self._upgrade is None:
            return
        old = self._performer.engine
        self._stage.use_engine(old, engine)
        self._upgrade.retire(old)
        self._swaps += 1
        self._engine_note = ""
        logger.warning("now on %s instead of %s", engine.description.label, old.description.label)

    def _anybody_watches(self) -> bool:
        return (
            self._settings.measure
            or (self.source is not None and not self.source.closed)
            or self._recorder is not None
            or (self.publisher is not None and self.publisher.has_subscribers)
        )

    def _listen(self) -> None:
        """Hand the newest state from the wire to the stage, as late as possible."""
        if self.control_server is not None:
            state = self.control_server.poll()
            if state is not None:
                self._performer.drivers.wire.offer(state)

    def _deliver(self, frame: Frame) -> None:
        if self.publisher is not None and self.publisher.has_subscribers:
            self.publisher.publish(frame)
        if self.source is not None:
            self.source.put(frame)
        with self._record_lock:
            if self._recorder is not None:
                self._recorder.offer(frame, self._performer.pose)
                if self._recorder.failed:
                    # The show goes on; `close` says what was wrong, and the command ends with code 1.
                    logger.warning("recording to %s has failed", self._recorder.path)
                    self._finished.append(self._recorder)
                    self._recorder = None

    def _count(self, begun: int, done: int) -> None:
        if self._frames == 0:
            self._first_ns = done
            self._first_frame_s = seconds_since_process_start()
            if self._performer.role.latents.has_mapping and (self.source or self.control_server):
                threading.Thread(target=self._warm_up, name="bunraku-mapping", daemon=True).start()
        else:
            self._intervals.add(abs(done - self._last_ns - self._pacer.period_ns))
        self._others.add(done - begun - self._performer.last_engine_ns)
        self._last_ns = done
        self._frames += 1

    def _warm_up(self) -> None:
        """Load the mapping network aside, so that the first seed does not hold a frame up."""
        try:
            self._performer.role.latents.warm_up()
        except BunrakuError as error:  # the edge of the thread; whoever asks for a seed is told again
            logger.warning("%s", error)

    def _check_time(self, now: int) -> None:
        limit = self._settings.seconds
        if limit is not None and now - (self._first_ns or self._start_ns) >= limit * 1e9:
            self._stop.set()

    def _tell(self, now: int) -> None:
        """Twice a second: statistics for the window and the heartbeat; bad controls to the log."""
        if now < self._stats_due_ns:
            return
        self._stats_due_ns = now + _STATS_NS
        performer = self._performer
        since_ns, frames = self._recent
        fps = (self._frames - frames) * 1e9 / (now - since_ns) if since_ns else 0.0
        self._recent = (now, self._frames)
        server = self.control_server
        ages = [stats.age_p50_ms for stats in server.client_stats] if server else []
        photons = self.source.motion_to_photon if self.source else None
        stats = LiveStats(
            provider=performer.engine.description.label,
            engine_note=(self._upgrade.note if self._upgrade is not None else "") or self._engine_note,
            engine_ms_p50=performer.engine_times.percentile_ms(50),
            engine_ms_p99=performer.engine_times.percentile_ms(99),
            fps=fps,
            target_fps=self._settings.fps,
            dropped=self._pacer.dropped,
            motion_to_photon_ms=photons.percentile_ms(50) if photons else None,
            driver=performer.drivers.label,
            frame_age_ms_p50=float(np.median(ages)) if ages else None,
            subscribers=self.publisher.subscriber_count if self.publisher else 0,
        )
        if self.source is not None:
            self.source.tell(stats)
        if self.publisher is not None:
            self.publisher.heartbeat(stats)
        if performer.bad_controls > self._said_bad:
            count = performer.bad_controls - self._said_bad
            self._said_bad = performer.bad_controls
            logger.warning("%d control states could not be used, the last: %s", count, performer.last_bad_control)

    def _open_recorder(self, path: Path) -> Recorder:
        role = self._performer.role
        film = Film(
            role.width, role.height, self._settings.fps, parse_colour(self._settings.background), note_about(role)
        )
        return Recorder(path, film, tuple(control.name for control in role.controls))

    def _resend(self) -> None:
        if self.publisher is not None:
            self.publisher.resend_last()

    def _close_sockets(self) -> None:
        if self.publisher is not None:
            self.publisher.close()
        if self.control_server is not None:
            self.control_server.close()
        if self.web is not None:  # last, so that the bye reaches the pages
            self.web.close()


def _open_web(
    address: str, settings: LiveSettings, publisher: Publisher, control_server: ControlServer | None
) -> WebRelay:
    from engine_bridge.web import WebRelay

    return WebRelay(
        address,
        frames_endpoint=publisher.endpoint,
        control_endpoint=control_server.endpoint if control_server else None,
        stream=settings.stream,
        token=settings.web_token,
        origins=settings.web_origins,
    )


def provenance_of(role: Role) -> Provenance:
    """What is said about the origin of the pictures, in the first frame and in every heartbeat."""
    return Provenance(ai=role.digest != "", model=role.digest, generator=f"Bunraku {version()}", source=role.licence)


def note_about(role: Role) -> str:
    """What is written into recordings about the origin of the pictures."""
    made = "AI-generated" if role.digest else "Test card"
    return f"{made}: character {role.name}, licence {role.licence}, made with Bunraku {version()}"


def version() -> str:
    """The version of this package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("bunraku")
    except PackageNotFoundError:
        return "(not installed)"


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and a polite kill end the loop after the present round, so that recordings and byes are complete."""
    numbers = [signal.SIGINT, signal.SIGTERM]

    def handler(_number: int, _frame: Any) -> None:
        stop()

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def play_without_window(loop: LiveLoop) -> None:
    """Run the loop in this thread until its time is over or a signal comes.

    Raises:
        BunrakuError: what ended the loop.
    """
    with stop_on_signals(loop.stop):
        loop.run()
    _raise(loop)


def play_in_window(loop: LiveLoop, *, title: str, background: str) -> None:
    """Run the loop in its own thread and the window in this one, the main thread, until the window is closed.

    Raises:
        BunrakuError: what ended the loop, or why there is no window.
    """
    from engine_bridge.viewer.window import Window

    assert loop.source is not None
    # The window's Python must not keep the loop waiting for the interpreter longer than this.
    sys.setswitchinterval(0.0005)
    thread = threading.Thread(target=loop.run, name="bunraku-live", daemon=True)
    try:
        with (
            Window(loop.source, title=title, background=background, on_record=loop.record) as window,
            stop_on_signals(loop.stop),
        ):
            thread.start()
            while not window.closed and not loop.ended:
                window.step()
                window.rest()
    finally:
        loop.stop()
        loop.source.close()
        if thread.is_alive():
            thread.join(timeout=10.0)
    _raise(loop)


def _raise(loop: LiveLoop) -> None:
    if loop.error is None:
        return
    if isinstance(loop.error, (BunrakuError, KeyboardInterrupt)):
        raise loop.error
    raise RuntimeError(f"the live loop broke: {loop.error!r}") from loop.error
