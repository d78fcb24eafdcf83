"""Characters that this user has played before, or that come with Bunraku.

One empty file per character in a folder that only this user may enter: anyone who could write there could mark a
malicious file as checked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Final

from engine_bridge.access.private_files import make_private_folder
from engine_bridge.errors import PrivateFileError

logger = logging.getLogger(__name__)

# `Character.digest` of the characters in assets/characters, so that the first start after installation is as fast
# as later ones.
SHIPPED: Final = frozenset(
    [
        "156042a87feb0f3937130cdfc53883153ec19d5d611b78e1a124e3318a54ce8d",
        "f5eef1c6a1639abf73d117d6e481e5112b215de02ffd7371fd9f26eba0bbe16a",
    ]
)
MOST: Final = 1000  # the oldest are forgotten, and checked again
_NAME: Final = re.compile(r"[0-9a-f]{64}")


def is_checked(digest: str) -> bool:
    """Whether this character was checked before.

    Args:
        digest: `Character.digest`.
    """
    if digest in SHIPPED:
        return True
    try:
        folder = default_folder()
        make_private_folder(folder)
        return _NAME.fullmatch(digest) is not None and (folder / digest).is_file()
    except (PrivateFileError, OSError) as error:
        logger.warning("the list of characters played before cannot be read: %s", error)
        return False


def remember(digest: str) -> None:
    """Note that a character passed its check; if that cannot be saved, it is checked again next time.

    Args:
        digest: `Character.digest`.
    """
    try:
        folder = default_folder()
        make_private_folder(folder)
        (folder / digest).touch(mode=0o600)
        noted = sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=_age)
        for path in noted[:-MOST]:
            path.unlink(missing_ok=True)
    except (PrivateFileError, OSError) as error:
        logger.warning("the result of the check could not be saved: %s", error)


def default_folder() -> Path:
    """Folder of this user's list; the variable BUNRAKU_CHECKED_FILES chooses another."""
    import platformdirs

    chosen = os.environ.get("BUNRAKU_CHECKED_FILES")
    return Path(chosen) if chosen else platformdirs.user_state_path("bunraku") / "checked"


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
