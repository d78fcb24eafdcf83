"""TensorBoard event files, one per start of a run.

Written synchronously: `SummaryWriter` has its own thread, in which a full disk ends in a traceback.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Curves:
    """An open event file."""

    def __init__(self, folder: Path, begin_at: int, *, note: Callable[[str], None]) -> None:
        """Start a file.

        Args:
            folder: created if absent.
            begin_at: pictures shown so far; later points of an earlier start are hidden.
            note: called once if the events cannot be written; they are abandoned then.
        """
        self._note = note
        self._file: IO[bytes] | None = None
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / name).open("wb", buffering=0)
        except OSError as error:
            self._give_up(error)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=begin_at, session_log=SessionLog(status=SessionLog.START)))

    def add(self, values: dict[str, float], images: int) -> None:
        """Add one point to every curve, at this number of pictures shown."""
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(wall_time=time.time(), step=images, summary=Summary(value=points)))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            RecordWriter(self._file).write(event.SerializeToString())
        except OSError as error:
            self.close()
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._note(f"No more curves for TensorBoard: {error.strerror or error}.")
