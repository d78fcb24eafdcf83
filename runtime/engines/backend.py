"""The description of each engine: one `Backend` for each name that `--engine` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.machine import ThreadProfile

from .base import Engine, LoadedGraph, Sizes

Progress = Callable[[str, int, int], bool]  # (what, done, of): False cancels


@dataclass(frozen=True, slots=True)
class GeneratorModel:
    """A generator that draws every pixel, and how to run it.

    Attributes:
        onnx: its tensors typed according to `precision`.
        sizes: of its rows and pictures.
        precision: `fp32`, `fp16`, `bf16` or `int8`.
        threads: for inference, on a processor.
        profile: how they share the machine.
        layout: hash of the meaning of `w` and `controls`; anything built for another layout is refused.
        batches: sizes to tune a prebuilt engine for. Each takes build time and memory.
        progress: called with the progress of a build.
    """

    onnx: bytes
    sizes: Sizes
    precision: str
    threads: int = 1
    profile: ThreadProfile = "shared"
    layout: str = ""
    batches: Sequence[int] = (1,)
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class AnimatorModel:
    """An animator, and how to run it.

    Attributes:
        onnx: of the network.
        precision: of its motion.
        threads: for inference, on a processor.
        profile: how they share the machine.
        progress: called with the progress of a build.
    """

    onnx: bytes
    precision: str
    threads: int = 1
    profile: ThreadProfile = "shared"
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One engine, by name.

    Attributes:
        name: accepted by `--engine`.
        precisions: available for generators; `auto` takes the first that the character and the machine allow.
        moves_in: the same for animators. Their flows are positions, so roundings of these must pass the gate, too.
        unavailable: why it cannot be used here, and after a semicolon what to do; empty if it can. May load it.
        about: what it runs on, and its version; only if available.
        draw: creates an engine for a generator; nothing is loaded before `Engine.activate`.
        move: loads an animator.
        read: loads a graph that runs once per person, with this many threads.
        lacks: why a precision should not be chosen here, although possible; empty if it should.
        on_gpu: whether it leaves the processor free.
        built_ahead: whether `bunraku build` applies.
        by_name: whether it is chosen only by name, never by `auto`.
    """

    name: str
    precisions: tuple[str, ...]
    moves_in: tuple[str, ...] = ("fp32",)
    unavailable: Callable[[], str]
    about: Callable[[], tuple[str, str]]
    draw: Callable[[GeneratorModel], Engine]
    move: Callable[[AnimatorModel], LoadedGraph]
    read: Callable[[bytes, int, ThreadProfile], LoadedGraph]
    lacks: Callable[[str], str] = lambda _: ""
    on_gpu: bool = False
    built_ahead: bool = False
    by_name: bool = False
