"""A game without an editor: the Unity package compiled against stubs of Unity's classes and run by Mono."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import pytest

from tests.unity.meta_files import PACKAGE

STAND_INS: Final = Path(__file__).resolve().parent
PROGRAM: Final = "Bunraku.Editor.Tests.exe"
ANSWER_TIMEOUT_S: Final = 120.0


def need_mono() -> None:
    """Skip where there is no Mono."""
    for tool in ("mono", "mcs"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: mono-mcs, mono-runtime), so no C# can run")


def compile_stand_ins(folder: Path) -> None:
    """Compile the stand-ins for Unity's own assemblies."""
    _compile(folder, "UnityEngine.dll", [STAND_INS / "UnityEngine.cs", STAND_INS / "UnityEditor.cs"], [], [])


def compile_runtime(folder: Path, defines: Sequence[str]) -> None:
    """Compile the package's runtime as Unity would for a platform, warnings as errors."""
    _compile(folder, "Bunraku.dll", sorted((PACKAGE / "Runtime").rglob("*.cs")), ["UnityEngine.dll"], defines)


def compile_editor(folder: Path) -> None:
    """Compile the package's inspector, warnings as errors."""
    references = ["UnityEngine.dll", "Bunraku.dll"]
    _compile(folder, "Bunraku.Editor.dll", sorted((PACKAGE / "Editor").rglob("*.cs")), references, ["UNITY_EDITOR"])


def compile_samples(folder: Path) -> None:
    """Compile the package's samples, warnings as errors."""
    references = ["UnityEngine.dll", "Bunraku.dll"]
    _compile(folder, "Samples.dll", sorted((PACKAGE / "Samples~").rglob("*.cs")), references, ["UNITY_EDITOR"])


def compile_game(folder: Path) -> Path:
    """Compile everything into a program that `Game` runs; return it."""
    compile_stand_ins(folder)
    compile_runtime(folder, ["UNITY_EDITOR", "UNITY_EDITOR_LINUX"])
    compile_editor(folder)
    compile_samples(folder)
    sources = [STAND_INS / "Program.cs", STAND_INS / "NUnit.cs", *sorted((PACKAGE / "Tests").rglob("*.cs"))]
    references = ["UnityEngine.dll", "Bunraku.dll", "Bunraku.Editor.dll", "Samples.dll"]
    _compile(folder, PROGRAM, sources, references, [])
    return folder / PROGRAM


class Game:
    """The running program. Requests are answered in order, each within a time limit."""

    def __init__(self, program: Path, library: Path | None, environment: dict[str, str] | None = None) -> None:
        """Start it.

        Args:
            program: from `compile_game`.
            library: the native client; None leaves it where it cannot be found.
            environment: merged into the current one.
        """
        variables = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}
        variables["LD_LIBRARY_PATH"] = str(library.parent) if library else ""
        self._process = subprocess.Popen(
            ["mono", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables, encoding="utf-8"
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id, for suspending and resuming it."""
        return self._process.pid

    def lines(self, *words: object, timeout_s: float = ANSWER_TIMEOUT_S) -> list[tuple[str, str]]:
        """Send a request; return the pairs of its answer."""
        self._stream(self._process.stdin).write("\t".join(map(str, words)) + "\n")
        self._stream(self._process.stdin).flush()
        answer: list[tuple[str, str]] = []
        while True:
            try:
                line = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                raise AssertionError(f"no answer to {words} within {timeout_s} s") from None
            assert line is not None, f"the game died of {words}, exit code {self._process.wait(10)}"
            if line == ".":
                return answer
            key, _, value = line.partition("=")
            assert key != "exception", f"{words}: {value}"
            answer.append((key, value))

    def ask(self, *words: object, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, str]:
        """The same, as a dictionary."""
        return dict(self.lines(*words, timeout_s=timeout_s))

    def end(self) -> int:
        """Ask it to quit; return its exit code."""
        with contextlib.suppress(OSError):
            self._stream(self._process.stdin).write("quit\n")
            self._stream(self._process.stdin).flush()
        return self._process.wait(60)

    def kill(self) -> None:
        """Kill it in any state."""
        self._process.kill()
        self._process.wait(60)
        self._reader.join(60)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                self._stream(stream).close()

    def _read(self) -> None:
        for line in self._stream(self._process.stdout):
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


@contextlib.contextmanager
def running(program: Path, library: Path | None, environment: dict[str, str] | None = None) -> Iterator[Game]:
    """A game that must quit with code 0 at the end; killed if the test failed."""
    game = Game(program, library, environment)
    try:
        yield game
        assert game.end() == 0
    finally:
        game.kill()


def _compile(
    folder: Path, name: str, sources: Sequence[Path], references: Sequence[str], defines: Sequence[str]
) -> None:
    """Language version 7.2: supported by both this compiler and Unity 2022."""
    command: list[str | Path] = ["mcs", "-nologo", "-unsafe", "-warnaserror", "-warn:4", "-langversion:7.2"]
    command += [f"-target:{'exe' if name.endswith('.exe') else 'library'}", f"-out:{folder / name}"]
    command += [f"-d:{define}" for define in defines] + [f"-r:{folder / reference}" for reference in references]
    done = subprocess.run(
        [*command, *sources], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{name}:\n{done.stdout}"
