"""From motion to a picture, outside of any network: the part of a frame that a processor does better by itself."""

from __future__ import annotations

import logging

from . import native
from .base import Composite
from .plain import PlainComposite

logger = logging.getLogger(__name__)


def open_composite(threads: int) -> Composite:
    """The fastest way here.

    Args:
        threads: that may draw, the caller's own among them.
    """
    if reason := native.unavailable():
        logger.warning("Pictures are put together in NumPy, which is too slow for a live picture: %s", reason)
        return PlainComposite()
    return native.NativeComposite(threads)
