"""Terminal output and process exit, shared by both command lines.

Text is printed literally: markup is not interpreted, and characters that would control a terminal or are missing in the
output's encoding are shown as escapes.

Lost output never ends a command. When the reader of a pipe goes away, like `head`, the rest is dropped
and the exit code is unaffected. When output is lost for another reason, such as a full disk, the command finishes its
work, reports it on stderr, and exits with 1.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import errno
import io
import json
import logging
import os
import select
import signal
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, NoReturn, TextIO

from engine_bridge.errors import BunrakuError, DriverError

from .interrupt import INTERRUPTED, leave_on_interrupt

_NEVER_FAIL: Final = ("replace", "backslashreplace", "ignore", "xmlcharrefreplace", "namereplace")
_BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_STEERS: Final = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, line and paragraph separators


def say(text: str, *, err: bool = False) -> None:
    """Print text literally, to stdout or stderr; see `escaped`."""
    _print(escaped(text), sys.stderr if err else sys.stdout)


def say_json(told: object) -> None:
    """Print one JSON object on a line, in ASCII, so that every encoding can carry it."""
    import msgspec

    _print(json.dumps(msgspec.to_builtins(told)), sys.stdout)


def _print(text: str, stream: TextIO) -> None:
    stream.write(text + "\n")
    stream.flush()


def table(headings: Sequence[str], rows: Sequence[tuple[str, ...]], *, tight: bool = False) -> None:
    """Print a table without borders, no wider than the terminal; long cells are wrapped.

    Args:
        headings: of the columns; all empty for none.
        rows: their cells.
        tight: one space between columns instead of two.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, show_header=any(headings), pad_edge=False, collapse_padding=tight)
    for heading in headings:
        shown.add_column(Text(heading), overflow="fold")
    for row in rows:
        shown.add_row(*(Text(escaped(cell)) for cell in row))
    Console().print(shown)


def escaped(text: str) -> str:
    """The text with everything that controls a terminal or changes the reading direction shown as an escape."""
    if text.isprintable():
        return text
    return "".join(
        sign.encode("unicode_escape").decode() if sign in _BIDIRECTIONAL or _steers(sign) else sign for sign in text
    )


def _steers(sign: str) -> bool:
    return sign not in "\n\t" and unicodedata.category(sign) in _STEERS


def log_to_stderr() -> None:
    """Show warnings beside a command's output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _PlainFormatter(logging.Formatter):
    """Escape log lines, which may quote text from the wire."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


# ---------------------------------------------------------------------------------------------------------------------
# Start and exit


def run_command_line(command: Callable[[], object]) -> NoReturn:
    """Run a command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Our errors become one message on stderr. Ctrl-C raises `KeyboardInterrupt` in the command, which cleans up.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    _open_missing_streams()
    stdout, stderr = _guard(sys.stdout), _guard(sys.stderr)
    if stdout is not None:
        sys.stdout = stdout.text
    if stderr is not None:
        sys.stderr = stderr.text
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        code = _code_of(command)
    except KeyboardInterrupt:
        code = INTERRUPTED
        say("Interrupted.", err=True)
    leave_on_interrupt()
    sys.stdout.flush()
    lost = stdout.raw.lost if stdout is not None else None
    if lost is not None and lost.errno not in (errno.EPIPE, errno.EINVAL):  # Windows reports EINVAL for a closed pipe
        say(f"Error: what was printed could not be written: {lost.strerror}.", err=True)
        code = code or 1
    sys.stderr.flush()
    _leave(code)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, but after an import and not inside it.

    A native module interrupted while loading reports that it is broken, and a caller with another library to fall
    back on would go on with that as if Ctrl-C had not been pressed.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _thread.start_new_thread(_interrupt_soon, ())
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _interrupt_soon() -> None:
    time.sleep(0.05)
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # wakes it from a sleep as well


def _code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BunrakuError as error:
        return report(error)
    except ModuleNotFoundError as error:
        from .advice import missing_package

        told = missing_package(error)
        if told is None:
            sys.excepthook(*sys.exc_info())
        else:
            say(f"Error: {told}", err=True)
        return 1
    except Exception:  # top level of the process: a bug of ours is shown in full
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def report(error: BunrakuError) -> int:
    """Print one of our errors; returns its exit code."""
    say(f"Error: {error}", err=True)
    return 2 if isinstance(error, DriverError) else 1


def _leave(code: int) -> NoReturn:
    """End the process, without Python's long shutdown while a thread may be inside a native library.

    Such a thread is a daemon that a command could not wait for, after Ctrl-C. It would find its interpreter gone, and
    the C++ libraries would abort the process.
    """
    if any(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        atexit._run_exitfuncs()
        os._exit(code)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # everything is done by now, and the exit code set
    sys.exit(code)


# ---------------------------------------------------------------------------------------------------------------------
# Streams that never fail


class _Descriptor(io.RawIOBase):
    """Writes to a descriptor, dropping what cannot be written.

    Attributes:
        lost: why output was dropped, None if none was.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write some of the data; returns how much of it is handled."""
        while self.lost is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # the parent made the pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.lost = error
        return len(data)


class _Guarded:
    """A text stream that replaces `sys.stdout` or `sys.stderr`.

    Attributes:
        raw: the underlying stream.
        text: what programs write to.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._replaced = stream  # would close the descriptor with its last reference
        self.raw = _Descriptor(stream.fileno())
        self.text = io.TextIOWrapper(
            io.BufferedWriter(self.raw),
            encoding=stream.encoding,
            errors=_errors_of(stream),
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )


def _guard(stream: TextIO) -> _Guarded | None:
    """A guarded replacement of this stream; None where it stays: a Windows console, or a test's capture."""
    if not isinstance(stream, io.TextIOWrapper):
        return None
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        if os.name != "nt" or not stream.isatty():
            return _Guarded(stream)
    stream.reconfigure(errors=_errors_of(stream))
    return None


def _errors_of(stream: io.TextIOWrapper) -> str:
    """Handling of characters missing in the encoding: the user's choice, unless that may raise."""
    return stream.errors if stream.errors in _NEVER_FAIL else "backslashreplace"


def _open_missing_streams() -> None:
    """Open the null device for closed standard streams, so that no socket or file takes their numbers."""
    if os.name == "posix":
        for descriptor in range(3):
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
