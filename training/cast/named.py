"""The named cast of `named.toml`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from .identity import Identity, from_dict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAMED_CAST: Final[dict[str, Identity]] = {
    name: from_dict(attributes)
    for name, attributes in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}
