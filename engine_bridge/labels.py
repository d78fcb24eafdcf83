"""Display names of controls, the same in the window and on the page for browsers."""

from __future__ import annotations

import re


def control_label(name: str) -> str:
    """`mouthSmileLeft` as `mouth smile left`. Twin of `readable` in `web/page/panel.js`."""
    return re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
