"""A stream in the browser: a page, and a relay from the sockets of `avf/1` to WebSockets.

`guard.py` says who may connect, `pages.py` which files are served, `feeds.py` talks ZeroMQ, `relay.py` puts them
together in a thread. `page/` is what browsers get.
"""

from __future__ import annotations

from .guard import DEFAULT_WEB_ADDRESS
from .relay import WebRelay

__all__ = ["DEFAULT_WEB_ADDRESS", "WebRelay"]
