"""Compile the kernel for every supported machine: `python -m runtime.composite.build`.

Zig provides a C compiler for all of them (https://pypi.org/project/ziglang); its output is in `lib` and ships
with the package, so that users need no compiler. The same version produces the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from runtime.advice import install

from .native import LIBRARIES, TARGETS

ZIG: Final = "0.13.0.post1"
SOURCE: Final = Path(__file__).with_name("kernel.c")
DIGESTS: Final = LIBRARIES / "SHA256SUMS"  # of the libraries and of the source that they were built from
FLAGS: Final = (
    *("-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fno-sanitize=all"),
    *("-Wall", "-Wextra", "-Werror", "-shared", "-s"),
)


def build(target: str, out: Path) -> None:
    """Compile for one target.

    Args:
        target: Zig's name for it.
        out: the library to write.

    Raises:
        subprocess.CalledProcessError: the compiler refuses.
    """
    processor = ("-mcpu=x86_64_v2", "-mtune=haswell") if target.startswith("x86_64") else ()
    position = () if "windows" in target else ("-fPIC",)
    # A macOS library holds its own name, by default its build path.
    name = (f"-Wl,-install_name,@rpath/{out.name}",) if target.endswith("macos") else ()
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *processor, *position, *name, "-target", target]
    # Windows libraries hold a link timestamp by default.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    subprocess.run([*command, "-o", str(out), SOURCE.name], check=True, cwd=SOURCE.parent, env=environment)
    out.with_name(f"{SOURCE.stem}.lib").unlink(missing_ok=True)  # for linking, which is not needed


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Build all libraries and record what they were built from."""
    try:
        found = version("ziglang")
    except PackageNotFoundError:
        found = ""
    if found != ZIG:
        sys.exit(f"This needs the compiler Zig {ZIG}; {install(f'ziglang=={ZIG}')}")
    LIBRARIES.mkdir(exist_ok=True)
    lines = [f"{digest(SOURCE)}  ../{SOURCE.name}\n"]
    for name, target in TARGETS.values():
        build(target, LIBRARIES / name)
        lines.append(f"{digest(LIBRARIES / name)}  {name}\n")
    DIGESTS.write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
