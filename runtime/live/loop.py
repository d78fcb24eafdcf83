"""The live loop, which connects stage, clock, streams, recorder and other sinks.

One thread draws and sends; the window, if any, has the main thread; recorder and sinks have their own. None of
them ever waits for another.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine_bridge.access.endpoints import another_endpoint, as_reached
from engine_bridge.access.keys import ClientKeys, ServerKeys, make_guest_keys
from engine_bridge.clock import now_ns
from engine_bridge.errors import BunrakuError
from engine_bridge.frame import Frame
from engine_bridge.producer.control_server import ControlServer
from engine_bridge.producer.publisher import Publisher
from engine_bridge.sockets.frame_socket import FrameSocket
from runtime.character.about import note_about
from runtime.engines.upgrade import EngineUpgrade
from runtime.machine import seconds_since_process_start
from runtime.signals import not_ended_twice
from runtime.sinks.base import Show
from runtime.sinks.films import Film, parse_colour
from runtime.sinks.recorder import Recorder
from runtime.sinks.table import open_sink
from runtime.sinks.worker import NewestWorker

from .pacing import FramePacer
from .performer import Performer, Timings
from .recordings import Recordings
from .report import LiveReport
from .settings import LiveSettings
from .stage import Stage
from .steady import SteadyRate
from .stream import LiveStream
from .window_source import WindowSource

if TYPE_CHECKING:
    from engine_bridge.web import WebRelay

logger = logging.getLogger(__name__)

_FREE_ENDPOINT: Final = "tcp://127.0.0.1:0"
_STATS_NS: Final = 500_000_000
_NOBODY_WATCHES_S: Final = 0.02
_SETTLING_NS: Final = 1_000_000_000  # libraries warm up and people are read: not representative


@dataclass(slots=True)
class Act:
    """One character on the stage, as one person or several, with its own engine.

    Attributes:
        performers: on one engine; each under its own stream name.
        upgrade: a faster engine that may come; the one it replaces is handed to it.
        engine_note: why this engine was chosen.
        swaps: how often a faster engine took over.
    """

    performers: Sequence[Performer]
    upgrade: EngineUpgrade | None = None
    engine_note: str = ""
    swaps: int = 0

    @property
    def note(self) -> str:
        """Why this engine is used, or the progress of a faster one."""
        return (self.upgrade.note if self.upgrade is not None else "") or self.engine_note


class LiveLoop:
    """Draws characters, each as one person or several, for all subscribers, sinks and windows.

    Open it as a context manager, then call `run` in any one thread. Window, recording and other sinks show the first
    person.

    Attributes:
        streams: one per person.
        web: the page for browsers, None if there is none.
        error: what ended the loop, if anything.
    """

    def __init__(
        self,
        acts: Sequence[Act],
        settings: LiveSettings,
        *,
        window: bool,
    ) -> None:
        """Open sockets, devices and the recording.

        Args:
            acts: the characters and their performers.
            settings: everything besides drawing.
            window: whether a window of this process will show the first person.

        Raises:
            WireError: an endpoint is taken or not allowed, or another producer plays a stream of that name.
            SinkError: the recording cannot be written, or a sink cannot be opened.
        """
        self._acts = list(acts)
        performers = [performer for act in self._acts for performer in act.performers]
        self._performer = performers[0]
        self._stage = Stage(performers)
        self._settings = settings
        self._steady_note = ""
        self._pacer = FramePacer(settings.fps)
        self._steady = SteadyRate(settings.fps)
        self._target_fps = settings.fps
        self._stop = threading.Event()
        self._start_ns = 0
        self._first_ns = 0
        self._last_ns = 0
        self._frames = 0
        self._first_frame_s: float | None = None
        self._intervals = Timings()
        self._others = Timings()
        self._stats_due_ns = 0
        self._recordings = Recordings(self._open_recorder)
        self._workers: list[NewestWorker] = []
        self._socket: FrameSocket | None = None
        self._warming: threading.Thread | None = None
        self.streams: list[LiveStream] = []
        self.error: BaseException | None = None
        self.web: WebRelay | None = None
        with contextlib.ExitStack() as unless_all_open:
            unless_all_open.callback(self._close_sockets)
            unless_all_open.callback(self._close_workers)
            self._open_streams(performers, window=window)
            self._open_sinks()
            if settings.record is not None:
                self._recordings.start(settings.record)
            unless_all_open.pop_all()

    def __enter__(self) -> LiveLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say bye, free sockets and devices, complete recordings. The loop must have ended.

        A recording whose encoder or disk hangs is abandoned after five seconds.

        Raises:
            SinkError: a recording could not be written; the first one, if several. All of them are logged.
        """
        with not_ended_twice():
            self._close_sockets()
            self._close_workers()
            if self._warming is not None:  # a second at most; a library still loading at process exit aborts it
                self._warming.join()
            self._recordings.complete()

    def stop(self) -> None:
        """End the loop after the current round; may be called from any thread or signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Draw until stopped; a failure is kept in `error` for the main thread to raise."""
        try:
            gc.collect()
            gc.freeze()
            self._start_ns = now_ns()
            while not self._stop.is_set():
                self._round()
        except BaseException as error:  # top level of the thread; the main thread raises it
            self.error = error
        finally:
            gc.unfreeze()
            self._stop.set()

    @property
    def source(self) -> WindowSource | None:
        """The first person, for a window of this process, None if there is no window."""
        return self.streams[0].source

    @property
    def publisher(self) -> Publisher | None:
        """Publisher of the first person, None if nothing is published."""
        return self.streams[0].publisher

    @property
    def control_server(self) -> ControlServer | None:
        """Control server of the first person, None if no controls are taken from sockets."""
        return self.streams[0].control_server

    @property
    def sinks(self) -> list[str]:
        """Sinks that show the pictures besides window, wire and recording, for people."""
        return [worker.label for worker in self._workers]

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
        if start:
            name = time.strftime("bunraku-%Y%m%d-%H%M%S.mp4")
            return f"Recording {self._recordings.start(Path.cwd() / name)}"
        path = self._recordings.stop()
        return "Nothing is being recorded" if path is None else f"Saving {path}"

    def report(self) -> LiveReport:
        """Report of the loop; recordings are known after `close`."""
        import psutil

        performer = self._performer
        about = performer.engine.description
        seconds = (self._last_ns - self._first_ns) / 1e9
        photons = self.streams[0].motion_to_photon_ms
        return LiveReport(
            character=performer.role.name,
            provider=about.label,
            engine_version=about.version,
            precision=about.precision,
            engine_note=self._acts[0].engine_note,
            engine_swaps=sum(act.swaps for act in self._acts),
            threads=about.threads,
            width=about.sizes.width,
            height=about.sizes.height,
            target_fps=self._settings.fps,
            steady_fps=self._steady.fps,
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
            recorded=self._recordings.written,
            recording_missed=self._recordings.missed,
            recordings=self._recordings.paths,
            sinks=[worker.report for worker in self._workers],
            bad_controls=sum(stream.bad_controls for stream in self.streams),
            streams=[stream.report for stream in self.streams],
            motion_to_photon_ms=None if photons is None else round(photons, 2),
        )

    def _round(self) -> None:
        watched = self._watched()
        if not watched:
            self._pacer.restart()
            self._steady.forget()
            self._listen()
            self._tell(now_ns())
            self._stop.wait(_NOBODY_WATCHES_S)
            self._check_time(now_ns())
            return
        self._pacer.wait()
        self._take_better_engine()
        begun = now_ns()
        self._listen()
        frames = self._stage.tick(now_ns(), [stream.performer for stream in watched])
        for stream, frame in zip(watched, frames, strict=True):
            stream.deliver(frame)
        if watched[0] is self.streams[0]:
            self._show(frames[0])
        done = now_ns()
        self._count(begun, done, sum(stream.performer.last_engine_ns for stream in watched))
        self._tell(done)
        self._check_time(done)

    def _take_better_engine(self) -> None:
        """Swap engines between two frames, so that each is whole and drawn by one engine."""
        for act in self._acts:
            engine = act.upgrade.take() if act.upgrade is not None else None
            if engine is None or act.upgrade is None:
                continue
            old = act.performers[0].engine
            self._stage.use_engine(old, engine)
            act.upgrade.retire(old)
            act.swaps += 1
            act.engine_note = ""
            self._steady.start_over()
            logger.warning("now on %s instead of %s", engine.description.label, old.description.label)

    def _watched(self) -> list[LiveStream]:
        """The streams with a demand for frames, in order."""
        if self._settings.measure:
            return self.streams
        others = self._recordings.running or not all(worker.failed for worker in self._workers)
        return [stream for index, stream in enumerate(self.streams) if stream.is_watched or (index == 0 and others)]

    def _listen(self) -> None:
        for stream in self.streams:
            stream.listen()

    def _show(self, frame: Frame) -> None:
        """Pass the first person's frame to sinks and recording."""
        for worker in self._workers:
            worker.offer(frame.pixels)
        self._recordings.offer(frame, self._performer.pose)

    def _count(self, begun: int, done: int, engine_ns: int) -> None:
        if self._frames == 0:
            self._first_ns = done
            self._first_frame_s = seconds_since_process_start()
            self._pacer.restart()  # the first may take long, to draw or read somebody: no frame was missed
            seeds = any(act.performers[0].role.latents.has_mapping for act in self._acts)
            if seeds and (self.source or self.control_server):
                self._warming = threading.Thread(target=self._warm_up, name="bunraku-mapping", daemon=True)
                self._warming.start()
        else:
            self._intervals.add(abs(done - self._last_ns - self._pacer.period_ns))
        self._others.add(done - begun - engine_ns)
        if done - self._first_ns >= _SETTLING_NS:
            self._steady.add(done - begun)
        self._last_ns = done
        self._frames += 1

    def _warm_up(self) -> None:
        """Load the mapping networks in the background, so that the first seed delays no frame."""
        for act in self._acts:
            latents = act.performers[0].role.latents
            if latents.has_mapping:
                try:
                    latents.warm_up()
                except BunrakuError as error:  # top level of the thread; a later request for a seed reports it again
                    logger.warning("%s", error)

    def _check_time(self, now: int) -> None:
        limit = self._settings.seconds
        if limit is not None and now - (self._first_ns or self._start_ns) >= limit * 1e9:
            self._stop.set()

    def _tell(self, now: int) -> None:
        """Update statistics for the window and the heartbeats, twice a second."""
        if now < self._stats_due_ns:
            return
        self._stats_due_ns = now + _STATS_NS
        self._adapt(now)
        notes = [act.note for act in self._acts for _ in act.performers]
        for stream, engine_note in zip(self.streams, notes, strict=True):
            note = "; ".join(part for part in (self._steady_note, engine_note) if part)
            stream.tell(now, target_fps=self._target_fps, dropped=self._pacer.dropped, engine_note=note)

    def _open_streams(self, performers: Sequence[Performer], *, window: bool) -> None:
        """The socket, a stream for every person, and the page; then all of them are announced."""
        settings = self._settings
        keys, page_keys = _with_room_for_the_page(settings)
        # The page takes its frames from the socket, as every client does.
        publish = settings.publish or (_FREE_ENDPOINT if settings.web is not None else None)
        if publish is not None:
            self._socket = FrameSocket(publish, keys=keys, insecure=settings.insecure)
        names = [performer.stream for performer in performers]
        for index, performer in enumerate(performers):
            control = settings.control
            self.streams.append(
                LiveStream(
                    performer,
                    fps=settings.fps,
                    socket=self._socket,
                    control=control if control is None or index == 0 else another_endpoint(control, performer.stream),
                    all_streams=names,
                    window=window and index == 0,
                    keys=keys,
                    insecure=settings.insecure,
                )
            )
        if settings.web is not None and self._socket is not None:
            self.web = _open_web(settings.web, settings, self._socket, self.streams, page_keys)
        for stream in self.streams:
            stream.announce(page=self.web.url if self.web is not None else "")

    def _open_sinks(self) -> None:
        settings, role = self._settings, self._performer.role
        show = Show(
            width=role.width,
            height=role.height,
            fps=settings.fps,
            background=settings.background,
            layout=settings.layout,
        )
        for asked in settings.sinks:
            self._workers.append(open_sink(asked, show))

    def _adapt(self, now: int) -> None:
        """Draw no more frames than wanted or sustainable, and send no larger pictures than the network carries."""
        full = self._settings.fps
        wanted = max(stream.adapt(full, now) for stream in self.streams)
        if self._recordings.running or self._workers or self._settings.measure:
            wanted = full
        before, changed = self._steady.fps, self._steady.decide(now)
        if changed and min(before, self._steady.fps) < wanted:  # otherwise the change would not be visible
            logger.warning("%s", self._steady.note or f"back at {self._steady.fps:g} frames per second")
        self._target_fps = min(wanted, self._steady.fps)
        self._steady_note = self._steady.note if self._steady.fps < wanted else ""
        self._pacer.aim(self._target_fps)

    def _open_recorder(self, path: Path) -> Recorder:
        role = self._performer.role
        film = Film(
            role.width, role.height, self._settings.fps, parse_colour(self._settings.background), note_about(role)
        )
        return Recorder(path, film, tuple(control.name for control in role.controls))

    def _close_workers(self) -> None:
        for worker in self._workers:
            worker.close()

    def _close_sockets(self) -> None:
        for stream in self.streams:
            stream.close()
        if self._socket is not None:
            self._socket.close()
        if self.web is not None:  # last, so that the byes reach the pages
            self.web.close()


def _with_room_for_the_page(settings: LiveSettings) -> tuple[ServerKeys | None, ClientKeys | None]:
    """The producer's keys, and a key pair for the page's relay, a client like others; both None without keys."""
    if settings.keys is None or settings.web is None:
        return settings.keys, None
    return make_guest_keys(settings.keys)


def _open_web(
    address: str,
    settings: LiveSettings,
    socket: FrameSocket,
    streams: Sequence[LiveStream],
    keys: ClientKeys | None,
) -> WebRelay:
    from engine_bridge.web import WebRelay

    return WebRelay(
        address,
        frames_endpoint=as_reached(socket.endpoint, _FREE_ENDPOINT),
        stream=streams[0].performer.stream,
        token=settings.web_token,
        origins=settings.web_origins,
        keys=keys,
    )
