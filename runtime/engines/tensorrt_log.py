"""TensorRT's messages in this program's log. Import it only if `tensorrt.unavailable()` returns nothing."""

from __future__ import annotations

import functools
import logging
from typing import Final

import tensorrt as trt

from engine_bridge.plain_text import LINE_CHARS, plain

logger = logging.getLogger(__name__)

_KEPT: Final = 3


@functools.cache
def tensorrt_log() -> TensorRtLog:
    """The log of this process: TensorRT uses the first one it is given and ignores every other."""
    return TensorRtLog()


class TensorRtLog(trt.ILogger):  # type: ignore[misc]
    """Forwards TensorRT's messages; called from its threads. Must outlive everything it is given to."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._levels = {
            trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
            trt.ILogger.Severity.ERROR: logging.ERROR,
            trt.ILogger.Severity.WARNING: logging.WARNING,
            trt.ILogger.Severity.INFO: logging.DEBUG,
        }
        self._errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Handle one message; called by TensorRT."""
        level = self._levels.get(severity)
        if level is None:  # verbose: thousands of lines per build
            return
        if level == logging.ERROR:
            self._errors.append(plain(msg, LINE_CHARS))  # it quotes names of the graph
            del self._errors[:-_KEPT]
        logger.log(level, "TensorRT: %s", msg)

    def forget_errors(self) -> None:
        """Start a new operation with its own errors."""
        self._errors.clear()

    def last_errors(self) -> str:
        """The latest errors on one line, for an exception."""
        return "; ".join(self._errors) or "it gave no reason"
