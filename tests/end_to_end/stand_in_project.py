"""A tiny project in place of Bunraku, for testing run.py with a real venv and a real pip, but no network.

It has its own build backend. Its `bunraku` and `pytest` print their arguments as JSON and exit with the code
given by `--exit`.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from tests.conftest import REPOSITORY

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "bunraku"
version = "0.1.0"
"""

PRINTING_PROGRAM = """
import json, sys

def main():
    arguments = sys.argv[1:]
    print(json.dumps(arguments))
    return int(arguments[arguments.index("--exit") + 1]) if "--exit" in arguments else 0
"""

BACKEND = f"""
import zipfile
from pathlib import Path

def build_editable(folder, config_settings=None, metadata_directory=None):
    metadata = ["Metadata-Version: 2.1", "Name: bunraku", "Version: 0.1.0"]
    metadata += [f"Provides-Extra: {{name}}" for name in ("train", "openvino", "test", "dev")]
    info = "bunraku-0.1.0.dist-info/"
    files = {{
        "printing_program.py": {PRINTING_PROGRAM!r},
        "pytest.py": "import sys, printing_program\\nsys.exit(printing_program.main())\\n",
        info + "METADATA": "\\n".join(metadata) + "\\n",
        info + "WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        info + "entry_points.txt": "[console_scripts]\\nbunraku = printing_program:main\\n",
        info + "RECORD": "",
    }}
    name = "bunraku-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""


def make_project(folder: Path) -> None:
    """Copy the stand-in and run.py into a folder."""
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "run.py", folder)
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "backend.py").write_text(BACKEND, encoding="utf-8")
    (folder / "locks").mkdir()
    for name in ("demo", "test"):
        write_lock(folder, name, "")


def write_lock(folder: Path, name: str, text: str) -> None:
    """Replace a lock file of the stand-in."""
    (folder / "locks" / f"{name}.txt").write_text(f"# made by hand\n{text}\n", encoding="utf-8")


def make_wheel(folder: Path, name: str, version: str, *, needs: str = "") -> None:
    """Write an empty wheel for pip to find in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", metadata + (f"Requires-Dist: {needs}\n" if needs else ""))
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def offline(folder: Path) -> dict[str, str | None]:
    """An environment without display, NVIDIA tools, network for pip, or pip settings of the machine."""
    settings: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("PIP_"))
    return {
        **settings,
        "DISPLAY": None,
        "WAYLAND_DISPLAY": None,
        "PATH": os.fspath(folder / "no-programs"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
    }
