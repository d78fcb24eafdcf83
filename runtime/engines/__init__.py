"""Which engine plays a character: chosen once, by name, and said out loud. Each library lives in its own file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from engine_bridge.errors import CharacterError, EngineUnavailable
from runtime.character import Character, Role
from runtime.engine import Engine

from .synthetic import SyntheticEngine, synthetic_role

# Fastest first: the order in which `auto` looks.
BACKENDS: Final = ("tensorrt", "tensorrt-rtx", "openvino", "onnxruntime")
NAMES: Final = ("auto", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "synthetic")
PRECISIONS: Final = ("fp32", "fp16", "int8")

_NOT_YET: Final = "not in this release"


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and why it is this one.

    Attributes:
        engine: not yet activated.
        role: the character that it draws.
        passed_over: (backend, reason) of those that `auto` would have preferred.
    """

    engine: Engine
    role: Role
    passed_over: tuple[tuple[str, str], ...]

    def sentence(self) -> str:
        """One line for people: what was chosen, and why nothing better."""
        about = self.engine.description
        text = f"{about.label} {about.version}, {about.precision}, {about.threads} thread{'s' * (about.threads > 1)}"
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self.passed_over)
        return f"{text} (passed over {reasons})" if reasons else text


def shared_threads() -> int:
    """Threads for a machine that also runs a game: all cores but two.

    At least two where there are two: on one alone a 256 px character does not reach 60 frames a second.
    """
    cores = usable_cores()
    return min(cores, max(2, cores - 2))


def usable_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def availability() -> dict[str, str]:
    """Backend to the reason why it cannot be used here; empty if it can."""
    reasons = {"tensorrt": _NOT_YET, "tensorrt-rtx": _NOT_YET, "openvino": "", "onnxruntime": ""}
    if find_spec("openvino") is None:
        reasons["openvino"] = "not installed; pip install openvino"
    if find_spec("onnxruntime") is None:
        reasons["onnxruntime"] = "not installed; pip install onnxruntime"
    return reasons


def choose(name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Settle on a backend.

    Args:
        name: one of `NAMES`.

    Returns:
        The backend, and (backend, reason) of those that `auto` passed over.

    Raises:
        EngineUnavailable: the named backend is unknown or cannot be used here, or `auto` found none.
    """
    if name == "synthetic":
        return name, ()
    reasons = availability()
    if name != "auto":
        if name not in reasons:
            raise EngineUnavailable(f'There is no engine "{name}". Choose one of: {", ".join(NAMES)}.')
        if reasons[name]:
            raise EngineUnavailable(
                f"The engine {name} cannot be used: {reasons[name]}. `--engine auto` finds one that can."
            )
        return name, ()
    passed_over: list[tuple[str, str]] = []
    for backend in BACKENDS:
        if not reasons[backend]:
            return backend, tuple(passed_over)
        passed_over.append((backend, reasons[backend]))
    raise EngineUnavailable("No engine is installed. Install one: pip install onnxruntime")


def choose_engine(
    name: str, character: Character | None, *, precision: str = "fp32", threads: int | None = None
) -> Choice:
    """Make the engine that plays a character; it is loaded by `activate`.

    Args:
        name: one of `NAMES`.
        character: an open character; None only for `synthetic`.
        precision: one of `PRECISIONS`.
        threads: threads that compute; None for `shared_threads`.

    Raises:
        EngineUnavailable: the backend or the precision cannot be used here.
        CharacterError: the character lacks what was asked for.
    """
    backend, passed_over = choose(name)
    if backend == "synthetic":
        role = character.role() if character is not None else synthetic_role()
        card = SyntheticEngine(role.controls, width=role.width, height=role.height, w_dim=role.latents.w_dim)
        return Choice(card, role, ())
    if character is None:
        raise CharacterError(
            f"The engine {backend} needs a character. Give a .bunraku file, or use --engine synthetic."
        )
    if precision not in PRECISIONS:
        raise EngineUnavailable(f'There is no precision "{precision}". Choose one of: {", ".join(PRECISIONS)}.')
    if precision == "fp16":
        raise EngineUnavailable(f"{backend} runs on the CPU, where fp16 gains nothing. Choose fp32 or int8.")
    member = "generator.int8.onnx" if precision == "int8" else "generator.onnx"
    if member not in character:
        raise CharacterError(
            f"{character.path.name} has no int8 generator: it is exported only when its pictures pass a "
            "quality gate. Choose --precision fp32."
        )
    role = character.role()
    model = character.read(member)
    threads = shared_threads() if threads is None else threads
    size = {"w_dim": role.latents.w_dim, "num_controls": len(role.controls), "width": role.width, "height": role.height}
    if backend == "openvino":
        from .openvino import OpenVinoEngine

        return Choice(OpenVinoEngine(model, threads=threads, precision=precision, **size), role, passed_over)
    from .onnxruntime import OnnxRuntimeEngine

    return Choice(OnnxRuntimeEngine(model, threads=threads, precision=precision, **size), role, passed_over)
