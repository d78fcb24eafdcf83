"""Creates engines from candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runtime.character.file import Character
from runtime.character.person import Person
from runtime.machine import ThreadProfile, profile_threads

from .backend import AnimatorModel, GeneratorModel, Progress
from .base import Engine, EngineDescription, Sizes
from .moving import MovingEngine
from .synthetic import SyntheticEngine
from .table import SYNTHETIC, backend_of

MEMBERS: Final = {"fp16": "generator.fp16.onnx", "int8": "generator.int8.onnx"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One option: a backend and its precision."""

    backend: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to create an engine.

    Attributes:
        threads: for inference; None for the profile's default.
        profile: how inference shares the machine.
        batches: batch sizes to tune a prebuilt engine for.
        patient: wait for a person to be read, instead of showing the last one; for output that must be
            reproducible.
    """

    threads: int | None = None
    profile: ThreadProfile = "shared"
    batches: tuple[int, ...] = (1,)
    patient: bool = False


USUAL: Final = EngineSettings()


def make_engine(
    candidate: Candidate,
    character: Character,
    settings: EngineSettings = USUAL,
    progress: Progress | None = None,
) -> Engine:
    """Create an engine; `activate` loads it and, if necessary, builds it.

    Args:
        candidate: `synthetic`, or a backend that is available, with a precision that the character has.
        character: an open character; may be closed afterwards.
        settings: how to create it.
        progress: called with the progress of a build, by backends that build.

    Raises:
        EngineUnavailable: the backend cannot be used here after all.
        CharacterError: the character lacks what is needed.
    """
    frame = character.manifest.frame
    threads = profile_threads(settings.profile) if settings.threads is None else settings.threads
    if candidate.backend == SYNTHETIC:
        return SyntheticEngine(character.controls, width=frame.width, height=frame.height, w_dim=character.w_dim)
    if character.moves:
        return moving_engine(
            candidate.backend,
            reader=character.read("reader.onnx"),
            animator=character.read("animator.onnx"),
            people=character.people,
            portrait=character.read("portrait.onnx") if "portrait.onnx" in character else b"",
            latent_dim=character.latent_dim,
            controls=len(character.controls),
            threads=threads,
            profile=settings.profile,
            precision=candidate.precision,
            patient=settings.patient,
            progress=progress,
        )
    model = GeneratorModel(
        onnx=character.read(MEMBERS.get(candidate.precision, "generator.onnx")),
        sizes=Sizes(character.w_dim, len(character.controls), frame.width, frame.height),
        precision=candidate.precision,
        threads=threads,
        profile=settings.profile,
        layout=character.layout,
        batches=settings.batches,
        progress=progress,
    )
    return backend_of(candidate.backend).draw(model)


def moving_engine(
    name: str,
    *,
    reader: bytes,
    animator: bytes,
    people: Sequence[Person],
    portrait: bytes = b"",
    latent_dim: int = 0,
    controls: int,
    threads: int,
    profile: ThreadProfile = "shared",
    precision: str = "fp32",
    patient: bool = False,
    progress: Progress | None = None,
) -> Engine:
    """Create an engine that moves people's pictures.

    Args:
        name: of a backend.
        reader: `reader.onnx`.
        animator: `animator.onnx`.
        people: in the order of identities.
        portrait: `portrait.onnx`, empty if nobody is drawn from a latent.
        latent_dim: size of its latent.
        controls: number of the animator's controls.
        threads: of the processor, for inference or compositing.
        profile: how inference shares the machine.
        precision: of the motion; graphs that run once per person use fp32.
        patient: see `EngineSettings`.
        progress: called with the progress of a build, by backends that build.
    """
    backend = backend_of(name)
    sizes = Sizes(len(people) + latent_dim, controls, people[0].side, people[0].side)
    return MovingEngine(
        lambda: backend.move(AnimatorModel(animator, precision, threads, profile, progress)),
        # One thread: people are read beside the live loop, which needs the others.
        lambda graph: backend.read(graph, 1, profile),
        reader=reader,
        people=people,
        portrait=portrait,
        about=EngineDescription(name, *backend.about(), precision, 0 if backend.on_gpu else threads, sizes),
        threads=threads,
        patient=patient,
    )
