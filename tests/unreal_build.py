"""Compiles the Unreal plugin with plain g++: its engine-free core alone, and all of it with a stand-in for Unreal."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PLUGIN: Final = REPOSITORY / "engine_bridge" / "unreal" / "Bunraku"
MODULE: Final = PLUGIN / "Source" / "Bunraku"
NATIVE_HEADERS: Final = REPOSITORY / "engine_bridge" / "native" / "include"
EXAMPLE: Final = REPOSITORY / "examples" / "20_talking_npc" / "unreal"
HERE: Final = REPOSITORY / "tests" / "unreal"
COMPILE_S: Final = 300

# Unreal turns shadowed names and undefined macros into errors.
WARNINGS: Final = ["-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Wundef", "-Werror"]
# And it compiles without exceptions and run-time types.
CORE_FLAGS: Final = [*WARNINGS, "-Wpedantic", "-Wconversion", "-Wold-style-cast", "-fno-exceptions", "-fno-rtti"]
ADDRESS: Final = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
THREAD: Final = ["-fsanitize=thread"]

# The plugin's calls that the game counts, or answers otherwise, on their way into the library.
WRAPPED: Final = ["open", "close", "acquire", "release", "send_control", "abi_version"]


def compiler(name: str) -> str:
    """The path of a tool; skips the test where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run_tool(command: Iterable[str | Path]) -> None:
    """Run a compiler; its output becomes the failure message."""
    done = subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True, timeout=COMPILE_S
    )
    assert done.returncode == 0, done.stderr or done.stdout


def compile_program(out: Path, sources: list[Path], flags: list[str], link: list[str]) -> Path:
    """Compile each source with g++, two at a time, and link them into `out`."""
    tool = compiler("g++")
    objects = [out.with_name(f"{out.name}.{index}.o") for index in range(len(sources))]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(run_tool, [tool, *flags, "-g", "-O1", "-c", source, "-o", made])
            for source, made in zip(sources, objects, strict=True)
        ]
        for job in jobs:
            job.result()
    run_tool([tool, *flags, *objects, *link, "-pthread", "-o", out])
    return out


def core_program(out: Path, sanitizer: list[str]) -> Path:
    """The tests of the engine-free core, with a native client that has no network."""
    core = sorted((MODULE / "Private" / "Core").glob("*.cpp"))
    flags = [*CORE_FLAGS, *sanitizer, f"-I{NATIVE_HEADERS}", f"-I{MODULE / 'Private'}", f"-I{HERE}"]
    return compile_program(out, [*core, HERE / "core_test.cpp", HERE / "stand_in_client.cpp"], flags, [])


def reflected_headers() -> list[Path]:
    """The headers that Unreal's header tool reads, the example's among them."""
    headers = [*sorted((MODULE / "Public").glob("*.h")), EXAMPLE / "TalkingNpc.h"]
    return [header for header in headers if f"{header.stem}.generated.h" in header.read_text(encoding="utf-8")]


def write_generated_headers(out: Path, headers: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run the stand-in for Unreal's header tool."""
    command = [sys.executable, str(HERE / "header_tool.py"), str(out), *map(str, headers)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=COMPILE_S)


def game_program(out: Path, library: Path, sanitizer: list[str]) -> Path:
    """Plugin, example and stand-in for Unreal in one program, on the real native client."""
    if not (NATIVE_HEADERS / "bunraku" / "speech.hpp").is_file():
        pytest.skip("bunraku/speech.hpp is not in this checkout")
    generated = out.with_name("generated")
    done = write_generated_headers(generated, reflected_headers())
    assert done.returncode == 0, done.stderr
    folders = [NATIVE_HEADERS, HERE / "stubs", generated, MODULE / "Public", MODULE / "Private", EXAMPLE]
    flags = [*WARNINGS, *sanitizer, *(f"-I{folder}" for folder in folders)]
    # Like Unreal's build tool for each module.
    flags += ['-DBUNRAKU_API=__attribute__((visibility("default")))', "-DMYGAME_API="]
    sources = [*sorted((MODULE / "Private").glob("**/*.cpp")), *sorted(EXAMPLE.glob("*.cpp"))]
    link = [str(library), f"-Wl,-rpath,{library.parent}", "-ldl"]
    link += [f"-Wl,--wrap=bunraku_{name}" for name in WRAPPED]
    return compile_program(out, [*sources, HERE / "stubs" / "stubs.cpp", HERE / "game.cpp"], flags, link)
