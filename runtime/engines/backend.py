"""What every engine file says of itself: one `Backend` for each name that `--engine` takes. Knows no library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.machine import ThreadProfile

from .base import Engine, LoadedGraph, Sizes

Progress = Callable[[str, int, int], bool]  # (what, done, of): False gives up


@dataclass(frozen=True, slots=True)
class GeneratorModel:
    """A generator that draws every pixel, and how it is to be run.

    Attributes:
        onnx: its tensors typed as `precision` says.
        sizes: of its rows and pictures.
        precision: `fp32`, `fp16`, `bf16` or `int8`.
        threads: that compute, on a processor.
        profile: how they share the machine.
        layout: hash of what `w` and `controls` mean; what was built for another layout is refused.
        batches: sizes that an engine built ahead is tuned for. Each takes building time and memory.
        progress: told how a build proceeds.
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
    """An animator, and how it is to be run.

    Attributes:
        onnx: of the network.
        precision: of its motion.
        threads: that compute, on a processor.
        profile: how they share the machine.
        progress: told how a build proceeds.
    """

    onnx: bytes
    precision: str
    threads: int = 1
    profile: ThreadProfile = "shared"
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way to compute, by name.

    Attributes:
        name: what `--engine` takes.
        precisions: what generators can be drawn in; `auto` takes the first that the character and the machine allow.
        moves_in: the same of people who are moved. Their flows are places; what rounds these must stand the gate, too.
        unavailable: why it cannot be used here, and after a semicolon what to do; empty if it can. May load it.
        about: what it computes on, and its version; only where it can be used.
        draw: an engine for a generator; nothing is loaded before `Engine.activate`.
        move: loads an animator.
        read: loads what runs once for a person, with so many threads.
        lacks: why a precision should not be chosen here, though it could be; empty if it should.
        on_gpu: whether it leaves the processor alone.
        built_ahead: whether `bunraku build` has something to do.
        by_name: whether only its name chooses it, and never `auto`.
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
