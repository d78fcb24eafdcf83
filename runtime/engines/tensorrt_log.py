"""What TensorRT says, in the log of this program. Import it only when `tensorrt.unavailable()` has nothing to say."""

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
    """The log of this process: TensorRT takes the first that it is given and ignores every other."""
    return TensorRtLog()


class TensorRtLog(trt.ILogger):  # type: ignore[misc]
    """Hands TensorRT's messages on; called from its threads. Must outlive everything that it is given to."""

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
        """Take one message; TensorRT calls this."""
        level = self._levels.get(severity)
        if level is None:  # verbose: thousands of lines per build
            return
        if level == logging.ERROR:
            self._errors.append(plain(msg, LINE_CHARS))  # it quotes names of the graph
            del self._errors[:-_KEPT]
        logger.log(level, "TensorRT: %s", msg)

    def forget_errors(self) -> None:
        """Begin something new, whose errors are its own."""
        self._errors.clear()

    def last_errors(self) -> str:
        """The newest errors in one line, for the text of an exception."""
        return "; ".join(self._errors) or "it gave no reason"
