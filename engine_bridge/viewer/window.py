"""The viewer window: a stream's picture, its statistics, and the controls that move it.

The live loop runs in its own thread or process. The window asks its source for the newest frame and sends what the
user wants; neither ever waits for the other.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Final

import pygame
from msgspec import structs

from engine_bridge.avf.messages import LinkState, StreamInfo
from engine_bridge.clock import now_ns
from engine_bridge.errors import BunrakuError, SinkError
from engine_bridge.frame import Frame, Pixels

from . import background as backgrounds
from . import theme
from .desk import Desk
from .input_map import BINDINGS, Action, action_of
from .layout import WIDTH
from .look import LookAt
from .overlay import Figure, Overlay, figures, short_figures
from .panel import Panel
from .picker import SEEDS
from .picture import Picture
from .source import ReportsLink, ReportsProblem, StreamSource

Recorder = Callable[[bool], "str | None"]

_STALE_S: Final = 1.5  # as in LinkState
_LOST_S: Final = 5.0
_TOAST_S: Final = 3.0
_FIGURES_S: Final = 0.25
_ASLEEP_S: Final = 0.5  # after this long without frames, the window looks for them once per refresh only
_POLL_S: Final = 0.002
_ZOOM_STEP: Final = 1.12
_CELL: Final = 14  # of the checkerboard, at scale 1
_PICTURE: Final = (720, 720)  # initial size of the picture, at scale 1
_LEAST_PICTURE: Final = 140  # minimum width that the panel leaves to the picture, at scale 1


class Hud(Enum):
    """How much is drawn over the picture."""

    SHORT = auto()
    ALL = auto()
    NONE = auto()


def run_window(
    source: StreamSource,
    *,
    title: str,
    size: tuple[int, int] | None = None,
    background: str = backgrounds.CHECKERBOARD,
    scale: float | None = None,
    seconds: float | None = None,
    on_record: Recorder | None = None,
    screenshots: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Show a stream until the user closes the window. Runs in the main thread; the source stays open.

    Args:
        source: the stream.
        title: of the window.
        size: of the window in pixels; None chooses one that fits the desktop.
        background: `checkerboard`, a colour's name, or a number such as `#1e90ff`.
        scale: of text and layout; None asks the desktop.
        seconds: close after this long; None waits for the user.
        on_record: called with True to start and False to stop recording. It must not block, and may return a sentence
            for the user, such as the file's name. None offers no recording.
        screenshots: folder for pictures; None takes Bunraku in the user's pictures folder.
        tell: called with messages for the terminal, such as where a picture was saved.

    Raises:
        SinkError: no window can be opened here, or the background does not exist.
    """
    window = Window(
        source,
        title=title,
        size=size,
        background=background,
        scale=scale,
        on_record=on_record,
        screenshots=screenshots,
        tell=tell,
    )
    with window:
        end_s = None if seconds is None else time.perf_counter() + seconds
        while not window.closed and (end_s is None or time.perf_counter() < end_s):
            window.step()
            window.rest()


class Window:
    """The open window. `step` does what is due and returns at once; `rest` sleeps until the next step is worthwhile.

    Args: see `run_window`.
    """

    def __init__(
        self,
        source: StreamSource,
        *,
        title: str,
        size: tuple[int, int] | None = None,
        background: str = backgrounds.CHECKERBOARD,
        scale: float | None = None,
        on_record: Recorder | None = None,
        screenshots: Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.closed = False
        self._source = source
        self._title = title
        self._size = size
        self._background = backgrounds.check(background)
        self._wanted_scale = scale
        self._on_record = on_record
        self._folder = screenshots or _pictures()
        self._tell = tell

    def __enter__(self) -> Window:
        """Open the window.

        Raises:
            SinkError: no window can be opened here.
        """
        self._screen = _open(self._title, self._size, self._wanted_scale)
        self._scale = theme.detect_scale() if self._wanted_scale is None else self._wanted_scale
        self._picture = Picture(self._background)
        self._desk = Desk()
        self._look = LookAt(self._source.info.controls if self._source.info is not None else ())
        self._saver = ThreadPoolExecutor(1, "bunraku-screenshot")
        self._saving: list[Future[str]] = []
        self._frame: Frame | None = None
        self._frame_s: float | None = None
        self._shown: deque[float] = deque(maxlen=512)
        self._toast = ("", 0.0)
        self._figures_s = -1.0
        self._panel_wanted = True
        self._hud = Hud.SHORT
        self._help_wanted = self._following = self._dragging = self._panning = False
        self._recording_since: float | None = None
        self._pointer = (0, 0)
        self._stepped_s = time.perf_counter()
        self._repaint = True
        self._picture_due = True
        self._lines: list[Figure] = []
        self._refresh_s = 1.0 / (pygame.display.get_current_refresh_rate() or 60)
        self._overlay = Overlay(self._scale)
        self._panel = self._make_panel()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the window; a recording is stopped, pending screenshots are finished."""
        if self._recording_since is not None:
            self._record()
        self._saver.shutdown(wait=True)
        self._panel.close()
        pygame.display.quit()

    # One turn

    def step(self) -> None:
        """Handle events, take the newest frame, send what the user wants, redraw what changed."""
        now_s = time.perf_counter()
        elapsed_s, self._stepped_s = now_s - self._stepped_s, now_s
        for event in pygame.event.get():
            self._handle(event, now_s)
        self._panel.update(now_s)
        if self._source.info is not None and _takes(self._source.info) != _takes(self._panel.info):
            self._rebuild()
        self._take_frame(now_s)
        if self._look.active:
            self._desk.lead(self._look.step(min(elapsed_s, 0.1)))
            self._panel.show_look(now_s)
        state = self._desk.take(now_ns())
        if state is not None:
            self._source.send(state)
        self._report_saved(now_s)
        self._draw(now_s)

    def rest(self) -> None:
        """Sleep until something new is likely: most of a refresh after a frame, then in short steps for the next."""
        if self._frame_s is None or self._stepped_s - self._frame_s > _ASLEEP_S:
            time.sleep(self._refresh_s)
        elif self._frame_s == self._stepped_s:
            time.sleep(0.75 * self._refresh_s)
        else:
            time.sleep(_POLL_S)

    def _take_frame(self, now_s: float) -> None:
        frame = self._source.latest()
        if frame is None:
            return
        if self._frame is not None and frame.session != self._frame.session:
            self._desk.say_again()
        self._picture.take(frame.pixels)
        self._frame, self._frame_s = frame, now_s
        self._shown.append(now_s)
        self._picture_due = True

    # Events

    def _handle(self, event: pygame.event.Event, now_s: float) -> None:
        if event.type == pygame.QUIT:
            self.closed = True
        elif event.type in (pygame.VIDEORESIZE, pygame.WINDOWSIZECHANGED):
            self._resize()
        elif event.type in (pygame.VIDEOEXPOSE, pygame.WINDOWEXPOSED):
            self._repaint = True
        elif event.type == pygame.WINDOWLEAVE and self._following:
            self._let_go()
        elif self._panel_shown and not self._dragging and self._panel.handle(event, now_s):
            return
        elif event.type == pygame.KEYDOWN:
            self._key(event)
        elif event.type == pygame.MOUSEBUTTONDOWN:
            self._press(event)
        elif event.type == pygame.MOUSEBUTTONUP:
            self._lift(event)
        elif event.type == pygame.MOUSEMOTION:
            self._motion(event)
        elif event.type == pygame.MOUSEWHEEL:
            self._picture.zoom(_ZOOM_STEP**event.y, self._pointer, self._area)
            self._picture_due = True

    def _key(self, event: pygame.event.Event) -> None:
        action = action_of(event.key, event.mod)
        if action not in (None, Action.EXPRESSION):
            self._act(action)
            return
        hotkey = pygame.key.name(event.key)
        for spec in self._source.info.expressions if self._source.info is not None else []:
            if hotkey and spec.hotkey.lower() == hotkey:
                self._desk.toggle_expression(spec.name)
                self._panel.show_desk()

    def _press(self, event: pygame.event.Event) -> None:
        self._pointer = event.pos
        self._panel.stop_typing()
        if event.button == pygame.BUTTON_LEFT and self._area.collidepoint(event.pos):
            self._dragging = True
            self._aim()
        elif event.button in (pygame.BUTTON_MIDDLE, pygame.BUTTON_RIGHT):
            self._panning = True

    def _lift(self, event: pygame.event.Event) -> None:
        if event.button == pygame.BUTTON_LEFT and self._dragging:
            self._dragging = False
            if not self._following:
                self._let_go()
        elif event.button in (pygame.BUTTON_MIDDLE, pygame.BUTTON_RIGHT):
            self._panning = False

    def _motion(self, event: pygame.event.Event) -> None:
        self._pointer = event.pos
        if self._panning:
            self._picture.move(event.rel[0], event.rel[1], self._area)
            self._picture_due = True
        if self._dragging or self._following:
            self._aim()

    def _aim(self) -> None:
        self._look.aim(*self._picture.locate(self._pointer, self._area))

    def _let_go(self) -> None:
        self._look.release()
        self._desk.lead({})
        self._panel.show_desk()

    # Actions

    def _act(self, action: Action) -> None:
        {
            Action.RESET: self._reset,
            Action.CALIBRATE: self._calibrate,
            Action.FOLLOW: self._follow,
            Action.DICE: self._roll,
            Action.BACKGROUND: self._next_background,
            Action.FIT: self._fit,
            Action.SCREENSHOT: self._save,
            Action.RECORD: self._record,
            Action.PANEL: self._toggle_panel,
            Action.HUD: self._toggle_hud,
            Action.HELP: self._toggle_help,
            Action.LARGER: lambda: self._rescale(1),
            Action.SMALLER: lambda: self._rescale(-1),
            Action.QUIT: self._quit,
        }[action]()

    def _reset(self) -> None:
        self._following = False
        self._look.release()
        self._desk.reset()
        self._panel.show_desk()
        self._say("All controls are free again")

    def _calibrate(self) -> None:
        self._desk.calibrate()
        self._say("Your pose is now neutral")

    def _follow(self) -> None:
        self._following = not self._following
        if self._following:
            self._pointer = pygame.mouse.get_pos()
            self._aim()
        else:
            self._let_go()
        self._say("Following the mouse" if self._following else "No longer following the mouse")

    def _roll(self) -> None:
        info = self._source.info
        if info is None or not info.has_mapping:
            self._say("This character has named identities only")
            return
        self._desk.choose_identity(random.randrange(SEEDS))
        self._panel.show_desk()
        self._say(f"Seed {self._desk.identity}")

    def _next_background(self) -> None:
        names = backgrounds.CHOICES
        place = names.index(self._background) if self._background in names else -1
        self._choose_background(names[(place + 1) % len(names)])

    def _choose_background(self, name: str) -> None:
        try:
            self._background = backgrounds.check(name)
        except SinkError as error:
            self._say(str(error))
            return
        self._picture.background = self._background
        self._panel.set_background(self._background)
        self._picture_due = True

    def _fit(self) -> None:
        self._picture.fit()
        self._picture_due = True

    def _save(self) -> None:
        pixels = self._picture.copy_pixels()
        if pixels is None or self._frame is None:
            self._say("There is no picture to save yet")
            return
        name = f"{self._frame.stream}-{datetime.now():%Y%m%d-%H%M%S}-{self._frame.frame_id}.png"
        self._saving.append(self._saver.submit(_save_png, pixels, self._folder / name))

    def _report_saved(self, now_s: float) -> None:
        for done in [saving for saving in self._saving if saving.done()]:
            self._saving.remove(done)
            said = done.result()
            self._say(said, now_s)
            if self._tell is not None:
                self._tell(said)

    def _record(self) -> None:
        if self._on_record is None:
            self._say("Recording is not available for this stream")
            return
        start = self._recording_since is None
        try:
            said = self._on_record(start)
        except BunrakuError as error:
            self._say(str(error))
            return
        self._recording_since = time.perf_counter() if start else None
        self._panel.set_recording(start)
        self._say(said or ("Recording" if start else "Recording ended"))

    def _toggle_panel(self) -> None:
        self._panel_wanted = not self._panel_wanted
        self._repaint = True
        if self._panel_wanted and not self._panel_fits:
            self._say("Make the window larger to see the panel")

    def _toggle_hud(self) -> None:
        self._hud = {Hud.SHORT: Hud.ALL, Hud.ALL: Hud.NONE, Hud.NONE: Hud.SHORT}[self._hud]
        self._figures_s = -1.0
        self._picture_due = True

    def _toggle_help(self) -> None:
        self._help_wanted = not self._help_wanted
        self._repaint = True

    def _rescale(self, steps: int) -> None:
        place = theme.SCALES.index(theme.nearest_scale(self._scale)) + steps
        self._scale = theme.SCALES[max(0, min(len(theme.SCALES) - 1, place))]
        self._rebuild()
        self._say(f"Text at {self._scale:.0%}")

    def _quit(self) -> None:
        if self._help_wanted:
            self._toggle_help()
        else:
            self.closed = True

    def _say(self, text: str, now_s: float | None = None) -> None:
        self._toast = (text, (time.perf_counter() if now_s is None else now_s) + _TOAST_S)
        self._picture_due = True

    # Layout

    @property
    def _panel_fits(self) -> bool:
        width, height = self._screen.get_size()
        return width >= self._panel.width + round(_LEAST_PICTURE * self._scale) and height >= self._panel.height

    @property
    def _panel_shown(self) -> bool:
        return self._panel_wanted and self._panel_fits

    @property
    def _area(self) -> pygame.Rect:
        """Where the picture goes."""
        width, height = self._screen.get_size()
        left = self._panel.width if self._panel_shown else 0
        return pygame.Rect(left, 0, max(1, width - left), max(1, height))

    def _rebuild(self) -> None:
        """Create what depends on the scale and on what the stream takes."""
        self._panel.close()
        self._panel = self._make_panel()
        self._panel.show_desk()
        self._overlay = Overlay(self._scale)
        self._look = LookAt(self._panel.info.controls if self._panel.info is not None else ())
        self._desk.lead({})
        self._repaint = True

    def _make_panel(self) -> Panel:
        return Panel(
            self._screen.get_size(),
            scale=self._scale,
            desk=self._desk,
            info=self._source.info,
            act=self._act,
            choose_background=self._choose_background,
            name=self._background,
            can_record=self._on_record is not None,
        )

    def _resize(self) -> None:
        self._screen = pygame.display.get_surface() or self._screen
        self._panel.resize(self._screen.get_size())
        self._repaint = True

    # Drawing

    def _draw(self, now_s: float) -> None:
        self._refresh_figures(now_s)
        drawn: list[pygame.Rect] = []
        if self._panel_shown:
            panel = self._panel.draw(self._screen, again=self._repaint)
            if panel is not None:
                drawn.append(panel)
        if self._picture_due or self._repaint:
            area = self._area
            self._picture.draw(self._screen, area, cell=max(2, round(_CELL * self._scale)))
            self._draw_overlay(area, now_s)
            drawn.append(area)
        if self._repaint:
            pygame.display.flip()
        elif drawn:
            pygame.display.update(drawn)
        self._repaint = self._picture_due = False

    def _draw_overlay(self, area: pygame.Rect, now_s: float) -> None:
        link = self._link(now_s)
        if self._hud is not Hud.NONE and not self._help_wanted:
            self._overlay.draw_figures(self._screen, area, self._lines)
        if self._recording_since is not None:
            seconds = int(now_s - self._recording_since)
            self._overlay.draw_recording(self._screen, area, f"REC {seconds // 60:02d}:{seconds % 60:02d}")
        if self._frame is None:
            notice = "Waiting for the first frame"
            if link in (LinkState.ERROR, LinkState.LOST) and isinstance(self._source, ReportsProblem):
                notice = self._source.problem or notice
            self._overlay.draw_notice(self._screen, area, notice, over_picture=False)
        elif link is not LinkState.LIVE:
            self._overlay.draw_notice(self._screen, area, _NOTICES[link], over_picture=True)
        if self._help_wanted:
            lines = [(binding.label, binding.text) for binding in BINDINGS]
            self._overlay.draw_help(self._screen, area, "Keys and mouse", lines)
        if self._toast[0]:
            self._overlay.draw_toast(self._screen, area, self._toast[0])

    def _refresh_figures(self, now_s: float) -> None:
        """Refresh the overlay four times a second, even without frames."""
        if now_s < self._figures_s + _FIGURES_S:
            return
        self._figures_s = now_s
        if self._toast[0] and now_s >= self._toast[1]:
            self._toast = ("", 0.0)
        shown = [moment for moment in self._shown if moment > now_s - 1.0]
        stats = self._source.stats
        link, silent_s = self._link(now_s), None if self._frame_s is None else now_s - self._frame_s
        if self._hud is Hud.ALL:
            provider = self._frame.provider if self._frame is not None else ""
            self._lines = figures(stats, link, shown_fps=len(shown), provider=provider, silent_s=silent_s)
        else:
            self._lines = short_figures(stats, link, shown_fps=len(shown), silent_s=silent_s)
        self._picture_due = True
        info = self._source.info
        if info is not None:
            size = self._picture.size or (info.width, info.height)
            driver = f" · driver {stats.driver}" if stats is not None and stats.driver else ""
            self._panel.set_subtitle(f"{size[0]}\u00d7{size[1]} · {info.fps:.0f} fps{driver}")

    def _link(self, now_s: float) -> LinkState:
        if isinstance(self._source, ReportsLink):
            return self._source.link
        if self._frame_s is None:
            return LinkState.STALE
        silent_s = now_s - self._frame_s
        return LinkState.LOST if silent_s > _LOST_S else LinkState.STALE if silent_s > _STALE_S else LinkState.LIVE


def _takes(info: StreamInfo | None) -> StreamInfo | None:
    """What the panel is built from: a producer that restarts with the same character leaves it unchanged."""
    return None if info is None else structs.replace(info, session=0, width=0, height=0, fps=0.0, provider="")


_NOTICES: Final[dict[LinkState, str]] = {
    LinkState.STALE: "The stream has paused: this is its last frame",
    LinkState.LOST: "The stream is lost: this is its last frame",
    LinkState.ERROR: "Received data cannot be used: this is the last good frame",
    LinkState.INCOMPATIBLE: "The stream speaks another version of the protocol: update the older side",
}


def _open(title: str, size: tuple[int, int] | None, scale: float | None) -> pygame.Surface:
    """Open pygame's window.

    Raises:
        SinkError: there is no display.
    """
    # Ours, or Windows would enlarge and blur the finished window.
    os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")
    try:
        pygame.display.init()
        pygame.font.init()
        if size is None:
            size = _first_size(theme.detect_scale() if scale is None else scale)
        if pygame.display.get_driver() == "x11":
            # SDL would otherwise draw through OpenGL, which costs a core where OpenGL is emulated in software.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        screen = pygame.display.set_mode(size, pygame.RESIZABLE)
    except pygame.error as error:
        pygame.display.quit()
        raise SinkError(
            f"No window can be opened here: {error}. "
            f"{'Set DISPLAY or WAYLAND_DISPLAY, or' if sys.platform == 'linux' else 'Log in to a desktop, or'} "
            "start with --no-window."
        ) from error
    pygame.display.set_caption(title)
    pygame.key.set_repeat()
    return screen


def _first_size(scale: float) -> tuple[int, int]:
    """Return a size with room for the panel and the picture that fits the desktop."""
    wanted = ((WIDTH + _PICTURE[0]) * scale, _PICTURE[1] * scale)
    desktop = pygame.display.get_desktop_sizes()[0]
    return (round(min(wanted[0], 0.92 * desktop[0])), round(min(wanted[1], 0.85 * desktop[1])))


def _save_png(pixels: Pixels, path: Path) -> str:
    """Save a picture with its alpha, atomically. Runs in the background.

    Returns:
        A sentence for the user.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        surface = pygame.image.frombuffer(pixels.data, (pixels.shape[1], pixels.shape[0]), "RGBA")
        with part.open("wb") as file:
            pygame.image.save(surface, file, "picture.png")
        part.replace(path)
    except (OSError, pygame.error) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return f"{path} could not be saved: {error}"
    return f"Saved {path}"


def _pictures() -> Path:
    """The user's pictures folder."""
    import platformdirs

    return platformdirs.user_pictures_path() / "Bunraku"
