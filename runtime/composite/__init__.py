"""Composites a picture from motion, outside of any network: the part of a frame that a processor does better itself."""

from __future__ import annotations

import logging

from . import native
from .base import Composite
from .plain import PlainComposite

logger = logging.getLogger(__name__)


def open_composite(threads: int) -> Composite:
    """Return the fastest implementation for this machine.

    Args:
        threads: that may draw, including the caller's own.
    """
    if reason := native.unavailable():
        logger.warning("Pictures are composited in NumPy, which is too slow for live playback: %s", reason)
        return PlainComposite()
    return native.NativeComposite(threads)
