"""Commands that install what is missing, adapted to how Bunraku was installed.

Bunraku runs from a checkout's `.venv`, from a wheel in some environment, or from a checkout that was never installed.
None of it is on a package index, so `pip install "bunraku[openvino]"` on its own would find nothing, or somebody
else's package.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

NVIDIA_INDEX: Final = "https://pypi.nvidia.com"

# The package behind a missing module: its display name, and the extra of this project.
_EXTRA_OF: Final = {
    "torch": ("PyTorch", "train"),
    "lightning_fabric": ("Lightning Fabric", "train"),
    "onnx": ("the onnx package", "train"),
    "skia": ("skia-python", "train"),
    "tensorboard": ("TensorBoard", "train"),
}


def install_extra(extra: str, *options: str) -> str:
    """Return the command that adds an extra of this project to the running environment.

    Args:
        extra: its name in `pyproject.toml`.
        options: for pip, placed before the packages.
    """
    checkout = _checkout()
    if checkout is not None:
        return _pip([*options, "--editable", f"{checkout}[{extra}]"])
    # The installed version satisfies this, so pip only adds what the extra needs.
    return _pip([*options, f"bunraku[{extra}]=={distribution('bunraku').version}"])


def install(*words: str) -> str:
    """Return the `pip install` command with these words for the running environment."""
    return _pip(words)


def uninstall_then_install(old: str, new: str) -> str:
    """Return the commands that replace one package by another with the same modules."""
    return f"{quoted([*_program(), 'uninstall', old])} && {_pip([new])}"


def install_afresh() -> str:
    """Advice for a broken installed library."""
    checkout = _checkout()
    if checkout is not None:
        return f"Delete {checkout / '.venv'}, then: {quoted([sys.executable, str(checkout / 'run.py'), 'demo'])}"
    return "Install Bunraku again, in a new virtual environment."


def update() -> str:
    """Advice for getting a newer Bunraku."""
    checkout = _checkout()
    if checkout is not None:
        return f"git -C {quoted([str(checkout)])} pull"
    return "install the newer wheel as you installed this one"


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Advice when a package of an extra is not installed; None if the module belongs to no extra."""
    known = _EXTRA_OF.get((error.name or "").partition(".")[0])
    if known is None:
        return None
    what, extra = known
    return f"This needs {what}, which is not installed here. Install it with: {install_extra(extra)}"


def quoted(words: Sequence[str]) -> str:
    """Quote a command for this system's shell."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _pip(words: Sequence[str]) -> str:
    """`pip install` for the running environment; inside a new one where the system's own must not be changed."""
    checkout = _checkout()
    if checkout is not None and _is_managed_by_the_system():
        venv = checkout / ".venv"
        python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        made = quoted([sys.executable, "-m", "venv", str(venv)])
        return f"{made} && {quoted([str(python), '-m', 'pip', 'install', *words])}"
    return quoted([*_program(), "install", *words])


def _program() -> list[str]:
    """The command that starts pip for this Python."""
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return ["uv", "pip", "--python", sys.executable]
    return [sys.executable, "-m", "pip"]


def _is_managed_by_the_system() -> bool:
    """Whether this is a system Python that refuses installations (PEP 668)."""
    if sys.prefix != sys.base_prefix:
        return False
    return Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


@functools.cache
def _checkout() -> Path | None:
    """The checkout that this Bunraku runs from; None for an installed wheel."""
    try:
        found = _editable_folder(distribution("bunraku"))
    except PackageNotFoundError:
        found = Path(__file__).resolve().parent.parent
    return found if found is not None and (found / "pyproject.toml").is_file() else None


def _editable_folder(installed: Distribution) -> Path | None:
    """Target of an editable install (PEP 610), None if it is not editable."""
    told = json.loads(installed.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        return None
    path = urlsplit(told["url"]).path
    if os.name == "nt":
        from urllib.request import url2pathname

        return Path(url2pathname(path))
    return Path(unquote(path))
