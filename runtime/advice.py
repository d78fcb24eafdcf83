"""The command that installs what is missing, written for the place in which it is printed.

Bunraku runs from a checkout's `.venv`, from a wheel in some environment, or from a checkout that was never installed.
Nothing of it is on a package index, so `pip install "bunraku[openvino]"` on its own would find nothing, or somebody
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

# What a module that is not there belongs to: name for people, extra of this project.
_EXTRA_OF: Final = {
    "torch": ("PyTorch", "train"),
    "lightning_fabric": ("Lightning Fabric", "train"),
    "onnx": ("the onnx package", "train"),
    "skia": ("skia-python", "train"),
    "tensorboard": ("TensorBoard", "train"),
}


def install_extra(extra: str, *options: str) -> str:
    """The command that adds an extra of this project to the environment that runs now.

    Args:
        extra: its name in `pyproject.toml`.
        options: of pip, put before what is installed.
    """
    checkout = _checkout()
    if checkout is not None:
        return _pip([*options, "--editable", f"{checkout}[{extra}]"])
    # The version that is here satisfies this, so pip takes only what the extra adds.
    return _pip([*options, f"bunraku[{extra}]=={distribution('bunraku').version}"])


def install(*words: str) -> str:
    """The command that runs pip's `install` with these words in the environment that runs now."""
    return _pip(words)


def uninstall_then_install(old: str, new: str) -> str:
    """The commands that replace one package by another that brings the same modules."""
    return f"{quoted([*_program(), 'uninstall', old])} && {_pip([new])}"


def install_afresh() -> str:
    """What helps when an installed library is broken."""
    checkout = _checkout()
    if checkout is not None:
        return f"Delete {checkout / '.venv'}, then: {quoted([sys.executable, str(checkout / 'run.py'), 'demo'])}"
    return "Install Bunraku again, in a new virtual environment."


def update() -> str:
    """What brings a newer Bunraku to this place."""
    checkout = _checkout()
    if checkout is not None:
        return f"git -C {quoted([str(checkout)])} pull"
    return "install the newer wheel as you installed this one"


def missing_package(error: ModuleNotFoundError) -> str | None:
    """What to say when a package of an extra is not installed; None if the module belongs to no extra."""
    known = _EXTRA_OF.get((error.name or "").partition(".")[0])
    if known is None:
        return None
    what, extra = known
    return f"This needs {what}, which is not installed here. Install it with: {install_extra(extra)}"


def quoted(words: Sequence[str]) -> str:
    """A command as this system's shell reads it."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _pip(words: Sequence[str]) -> str:
    """`pip install` for the environment that runs now; a new one first where the system's own may not be changed."""
    checkout = _checkout()
    if checkout is not None and _is_managed_by_the_system():
        venv = checkout / ".venv"
        python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        made = quoted([sys.executable, "-m", "venv", str(venv)])
        return f"{made} && {quoted([str(python), '-m', 'pip', 'install', *words])}"
    return quoted([*_program(), "install", *words])


def _program() -> list[str]:
    """How pip is started for this Python."""
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return ["uv", "pip", "--python", sys.executable]
    return [sys.executable, "-m", "pip"]


def _is_managed_by_the_system() -> bool:
    """Whether this is a Python of the system that refuses to be installed into (PEP 668)."""
    if sys.prefix != sys.base_prefix:
        return False
    return Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


@functools.cache
def _checkout() -> Path | None:
    """The folder that this Bunraku is read from, if it is a checkout; None for an installed wheel."""
    try:
        found = _editable_folder(distribution("bunraku"))
    except PackageNotFoundError:
        found = Path(__file__).resolve().parent.parent
    return found if found is not None and (found / "pyproject.toml").is_file() else None


def _editable_folder(installed: Distribution) -> Path | None:
    """Where an editable install points to (PEP 610), None if it is not editable."""
    told = json.loads(installed.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        return None
    path = urlsplit(told["url"]).path
    if os.name == "nt":
        from urllib.request import url2pathname

        return Path(url2pathname(path))
    return Path(unquote(path))
