"""First load of an unknown character, in a separate process that can be killed.

A graph of allowed operators can still be made to take all memory or never to finish loading, and inference libraries
cannot be interrupted. So its graphs are loaded and run once in a child with limits of memory and time. What
passes is remembered, see `checked_files`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil

from engine_bridge.errors import BunrakuError, CharacterError
from engine_bridge.plain_text import LINE_CHARS, plain
from runtime.character import checked_files
from runtime.character.file import Character
from runtime.character.latents import OnnxMapping
from runtime.character.person import Person

from .backend import Backend, GeneratorModel
from .base import Sizes

WALL_S: Final = 60.0
MEMORY_BYTES: Final = 3 << 30
_LIBRARIES_BYTES: Final = 512 << 20  # more than Python and the libraries take by themselves
_CPU_S: Final = 600  # ends a trial whose parent was killed
_LOOK_S: Final = 0.05  # interval between memory checks
_NEEDED: Final = "Play it only if you trust its author, who can export it again: bunraku-train export"


class _Moving(msgspec.Struct):
    """Graphs of a character with moving people, and the pictures of one person.

    Attributes:
        reader: `reader.onnx`.
        animator: `animator.onnx`.
        pictures: of the first person, PNG.
        portrait: `portrait.onnx`, empty if there is none.
    """

    reader: bytes
    animator: bytes
    pictures: tuple[bytes, ...]
    portrait: bytes = b""


class _Trial(msgspec.Struct):
    """The child's input.

    Attributes:
        generators: graph by precision.
        mapping: the mapping network, empty if there is none.
        z_dim: its input size.
        w_dim: input size of generators, and output size of the mapping network.
        controls: number of controls.
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        memory_bytes: memory limit.
        moving: in place of generators.
    """

    generators: dict[str, bytes]
    mapping: bytes
    z_dim: int
    w_dim: int
    controls: int
    width: int
    height: int
    memory_bytes: int
    moving: _Moving | None = None


def ensure_tried(
    character: Character,
    *,
    tell: Callable[[str], None] = lambda _: None,
    wall_s: float = WALL_S,
    memory_bytes: int = MEMORY_BYTES,
) -> None:
    """Try a character that this user has never played; returns at once for any other.

    Args:
        character: an open character.
        tell: called with a sentence if it is tried.
        wall_s: time limit for loading and drawing once, for all its graphs together.
        memory_bytes: memory limit besides the libraries.

    Raises:
        CharacterError: it does not load and draw within the limits.
    """
    if checked_files.is_checked(character.digest):
        return
    name = character.path.name
    tell(f"{name} is new here: trying it in a separate process first, for at most {wall_s:.0f} s.")
    frame = character.manifest.frame
    members = {"fp32": "generator.onnx", "fp16": "generator.fp16.onnx", "int8": "generator.int8.onnx"}
    trial = _Trial(
        generators={precision: character.read(member) for precision, member in members.items() if member in character},
        mapping=character.read("mapping.onnx") if "mapping.onnx" in character else b"",
        z_dim=character.z_dim,
        w_dim=character.latent_dim,
        controls=len(character.controls),
        width=frame.width,
        height=frame.height,
        memory_bytes=memory_bytes,
        moving=_moving(character) if character.moves else None,
    )
    reason = _outcome(msgspec.msgpack.encode(trial), wall_s, memory_bytes)
    if reason:
        raise CharacterError(f"{name} is refused, because it {reason}. {_NEEDED}")
    checked_files.remember(character.digest)


def _moving(character: Character) -> _Moving:
    portrait = character.read("portrait.onnx") if "portrait.onnx" in character else b""
    return _Moving(
        character.read("reader.onnx"), character.read("animator.onnx"), character.people[0].pictures, portrait
    )


def _outcome(trial: bytes, wall_s: float, memory_bytes: int) -> str:
    """Run the child; returns why the character is refused, empty if it is not."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.engines.first_load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )
    except OSError as error:
        return f"cannot be tried in a separate process: {error.strerror or error}"
    with process:
        watch = _MemoryWatch(process.pid, memory_bytes + _LIBRARIES_BYTES)
        try:
            said, _ = process.communicate(trial, timeout=wall_s)
        except subprocess.TimeoutExpired:
            return f"did not load and draw one picture within {wall_s:.0f} s"
        finally:
            watch.stop()
            process.kill()
    told = said.decode(errors="replace").strip().splitlines()
    if process.returncode == 0 and told[-1:] == ["fine"]:
        return ""
    if watch.exceeded or told[-1:] == ["memory"]:
        return f"takes more than {memory_bytes / 2**30:.1f} GiB of memory"
    if process.returncode == 0 and told:
        return f"cannot be played: {plain(told[-1], 2 * LINE_CHARS)}"
    return f"crashes the process that loads it (exit code {process.returncode})"


class _MemoryWatch:
    """Kills a process that takes too much memory, where the system does not do so itself."""

    def __init__(self, pid: int, most_bytes: int) -> None:
        self.exceeded = False
        self._most = most_bytes
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="bunraku-first-load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; afterwards the process may be waited for."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._pid)
            while not self._done.wait(_LOOK_S):
                if process.memory_info().rss > self._most:
                    self.exceeded = True
                    process.kill()
                    return


def _child() -> None:
    """Load and draw once with everything from stdin; prints one line."""
    trial = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Trial)
    from .onnxruntime import PROCESSOR
    from .table import BACKENDS

    # The reference first, because its refusal is decisive; it takes any precision, in its own way.
    others = [kind for kind in BACKENDS if not (kind is PROCESSOR or kind.on_gpu or kind.unavailable())]
    kinds = [PROCESSOR, *others]
    _limit_memory(trial.memory_bytes)
    # Only the reference must be able to play it, and only in full precision; `auto` skips what cannot.
    plays = [
        (functools.partial(_draw, kind, graph, precision, trial), kind is PROCESSOR and precision == "fp32")
        for precision, graph in trial.generators.items()
        for kind in kinds
        if kind is PROCESSOR or precision in kind.precisions
    ]
    if trial.moving is not None:
        plays += [(functools.partial(_move, kind.name, trial, trial.moving), kind is PROCESSOR) for kind in kinds]
    plays += [(functools.partial(_map, trial), True)] if trial.mapping else []
    said = next((reason for play, needed in plays if (reason := _refusal(play, needed=needed))), "fine")
    sys.stdout.write(plain(said, 4 * LINE_CHARS) + "\n")


def _refusal(play: Callable[[], None], *, needed: bool) -> str:
    """Why this option is a reason to refuse the character; empty if it is not."""
    try:
        play()
    except MemoryError:
        return "memory"
    except BunrakuError as error:
        text = str(error)
        if "alloc" in text.lower():
            return "memory"
        return text if needed else ""
    return ""


def _draw(kind: Backend, graph: bytes, precision: str, trial: _Trial) -> None:
    sizes = Sizes(trial.w_dim, trial.controls, trial.width, trial.height)
    threads = max(1, min(4, os.cpu_count() or 1))
    with kind.draw(GeneratorModel(graph, sizes, precision, threads)):  # draws once while activating
        pass


def _move(backend: str, trial: _Trial, moving: _Moving) -> None:
    from .factory import moving_engine

    person = Person("its first person", trial.width, moving.pictures)
    with moving_engine(
        backend,
        reader=moving.reader,
        animator=moving.animator,
        people=[person],
        portrait=moving.portrait,
        latent_dim=trial.w_dim,
        controls=trial.controls,
        threads=max(1, min(4, os.cpu_count() or 1)),
        patient=True,
    ) as engine:  # reads and draws once while activating
        if moving.portrait:
            out = np.empty((1, trial.width, trial.width, 4), np.uint8)
            w = np.pad(np.ones((1, trial.w_dim), np.float32), ((0, 0), (1, 0)))
            w[0, 0] = 0
            engine.infer(w, np.zeros((1, trial.controls), np.float32), out)


def _map(trial: _Trial) -> None:
    OnnxMapping(trial.mapping, z_dim=trial.z_dim, w_dim=trial.w_dim)(np.zeros((1, trial.z_dim), np.float32))


def _limit_memory(most_bytes: int) -> None:
    """Limit memory to this much beside current use. Elsewhere the parent watches."""
    if sys.platform == "win32":
        return
    import resource

    taken = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    with contextlib.suppress(ValueError, OSError):  # macOS accepts the limit and does not enforce it
        resource.setrlimit(resource.RLIMIT_AS, (taken + most_bytes, taken + most_bytes))


if __name__ == "__main__":
    _child()
