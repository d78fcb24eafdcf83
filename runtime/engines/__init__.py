"""Which engine plays a character: chosen once, by name, and said out loud. Each library lives in its own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, TypedDict

from engine_bridge.errors import CharacterError, EngineError, EngineUnavailable
from runtime.character import Character, Role
from runtime.engine import Engine, EngineDescription, LoadedGraph
from runtime.first_load import ensure_tried
from runtime.machine import ThreadProfile, instructions, profile_threads
from runtime.person import Person
from runtime.preview_check import check_against_preview

from . import onnxruntime, openvino, tensorrt, tensorrt_rtx
from .moving import MovingEngine
from .synthetic import SyntheticEngine, synthetic_role

# What `auto` tries, the fastest first.
BACKENDS: Final = ("tensorrt", "tensorrt-rtx", "cuda", "openvino", "onnxruntime")
# Only by name: nobody here has been able to try them.
BY_NAME: Final = ("directml", "coreml")
NAMES: Final = ("auto", *BACKENDS, *BY_NAME, "synthetic")
BUILT_AHEAD: Final = frozenset(["tensorrt", "tensorrt-rtx"])
ON_GPU: Final = frozenset(["tensorrt", "tensorrt-rtx", "cuda", "directml", "coreml"])

# What each can compute in. `auto` takes the first that the character and the machine allow.
PRECISIONS_OF: Final = {
    "tensorrt": ("fp16", "fp32", "int8"),
    "tensorrt-rtx": ("fp16", "fp32", "int8"),
    "cuda": ("fp16", "fp32"),
    "directml": ("fp16", "fp32"),
    "coreml": ("fp16", "fp32"),
    "openvino": ("int8", "bf16", "fp32"),
    "onnxruntime": ("int8", "fp32"),
    "synthetic": ("fp32",),
}
# The same for characters whose people are moved. Their flows are places; what rounds these must stand the gate, too.
_MOVED_BY: Final = {**dict.fromkeys(PRECISIONS_OF, ("fp32",)), "openvino": ("bf16", "fp32")}
PRECISIONS: Final = ("auto", "fp32", "fp16", "bf16", "int8")
MEMBERS: Final = {"fp16": "generator.fp16.onnx", "int8": "generator.int8.onnx"}

Progress = Callable[[str, int, int], bool]  # (what, done, of): False gives up


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to play: a backend and what it computes in."""

    backend: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


# In fp32 ONNX Runtime draws a 512 px character of format 1 in seven eighths of OpenVINO's time, with less of the
# processor; to move one takes it 1.4 times as long.
_LAST: Final = Candidate("openvino", "fp32")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to make an engine.

    Attributes:
        threads: threads that compute; None for what the profile says.
        profile: how inference shares the machine.
        batches: batch sizes that an engine built ahead is tuned for.
        patient: wait for a person to be read, instead of going on with the last one; for pictures that must come out
            the same every time.
    """

    threads: int | None = None
    profile: ThreadProfile = "shared"
    batches: tuple[int, ...] = (1,)
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """An active engine and why it is this one. Use it as a context manager; the engine is deactivated at its end.

    Attributes:
        engine: active.
        role: the character that it draws.
        passed_over: (engine, reason) of those that would have been faster.
        better: faster ones that can be used but take long to start, the fastest first.
    """

    engine: Engine
    role: Role
    passed_over: tuple[tuple[str, str], ...] = ()
    better: tuple[Candidate, ...] = ()

    def __enter__(self) -> Choice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.deactivate()

    @property
    def note(self) -> str:
        """The same reasons in few words, for the window and the heartbeat."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.passed_over:
            by_reason.setdefault(reason.partition(";")[0], []).append(name)
        return "; ".join(f"{reason} ({', '.join(names)})" for reason, names in by_reason.items())

    def sentence(self) -> str:
        """One line for people: what was chosen, and why nothing better."""
        about = self.engine.description
        text = f"{about.label} ({about.version}"
        text += f", {about.threads} thread{'s' * (about.threads > 1)})" if about.on_cpu else ")"
        return f"{text}; faster ones passed over: {self.note}" if self.passed_over else text


def unavailable(backend: str) -> str:
    """Why this backend cannot be used here, and after a semicolon what to do; empty if it can. May load its library."""
    if backend == "tensorrt":
        return tensorrt.unavailable()
    if backend == "tensorrt-rtx":
        return tensorrt_rtx.unavailable()
    if backend == "openvino":
        return openvino.unavailable()
    return onnxruntime.unavailable(backend)


def availability() -> dict[str, str]:
    """Every backend with the reason why it cannot be used here; empty if it can."""
    return {backend: unavailable(backend) for backend in (*BACKENDS, *BY_NAME)}


def candidates(
    name: str, character: Character, precision: str = "auto"
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """What could play this character here, the fastest first, and why faster ones cannot.

    Args:
        name: one of `NAMES` but `synthetic`.
        character: an open character.
        precision: one of `PRECISIONS`.

    Returns:
        The candidates, and (backend or candidate, reason) of what would have come before the first of them.

    Raises:
        EngineUnavailable: what was named is unknown or cannot be used here, or `auto` found nothing.
        CharacterError: the character lacks what was asked for.
    """
    if name not in NAMES:
        raise EngineUnavailable(f'There is no engine "{name}". Choose one of: {", ".join(NAMES)}.')
    if precision not in PRECISIONS:
        raise EngineUnavailable(f'There is no precision "{precision}". Choose one of: {", ".join(PRECISIONS)}.')
    if precision in MEMBERS and MEMBERS[precision] not in character:
        raise CharacterError(f"{character.path.name} {_without(precision)}. Choose --precision fp32 or auto.")
    if name != "auto" and (reason := unavailable(name)):
        raise EngineUnavailable(f"The engine {name} cannot be used (`--engine auto` finds one that can): {reason}")
    found: list[Candidate] = []
    passed: list[tuple[str, str]] = []
    possible = _MOVED_BY if character.moves else PRECISIONS_OF
    for backend in BACKENDS if name == "auto" else (name,):
        if reason := unavailable(backend):
            passed += [] if found else [(backend, reason)]
            continue
        for each in possible[backend] if precision == "auto" else (precision,):
            lack = _lacking(backend, each, character, chosen=precision != "auto")
            if not lack:
                found.append(Candidate(backend, each))
            elif not found:
                passed.append((f"{backend} {each}", lack))
    found.sort(key=lambda candidate: candidate == _LAST and not character.moves)
    if not found:
        told = "; ".join(f"{what}: {why.partition('; ')[0]}" for what, why in passed)
        raise EngineUnavailable(f"Nothing here can play {character.path.name} like that ({told}). Choose `auto`.")
    return found, passed


def _lacking(backend: str, precision: str, character: Character, *, chosen: bool) -> str:
    """Why this precision cannot, or without being `chosen` should not, be used; empty if it can."""
    possible = _MOVED_BY if character.moves else PRECISIONS_OF
    if precision not in possible[backend]:
        does = "moves people" if character.moves else "computes"
        return f"it {does} in {', '.join(possible[backend])} only"
    if precision in MEMBERS and MEMBERS[precision] not in character:
        return f"the character {_without(precision)}"
    if chosen:
        return ""
    if precision == "bf16" and not openvino.has_bf16():
        return "this processor has no bf16 instructions"
    if precision == "bf16" and not _gate_allows_bf16(character):
        return "the character's pictures did not pass the quality gate in bf16"
    if backend == "onnxruntime" and precision == "int8" and not _has_int8():
        return "this processor has no int8 instructions that would make it faster"
    return ""


def _without(precision: str) -> str:
    gate = "; it is exported only when its pictures pass a quality gate" if precision == "int8" else ""
    return f"has no {precision} generator{gate}"


def _gate_allows_bf16(character: Character) -> bool:
    """What the exporter's report says; True if it was not judged, because the exporter's processor had no bf16."""
    told = character.report().get("precision", {})
    judged = told.get("bf16", {}) if isinstance(told, dict) else {}
    return not isinstance(judged, dict) or judged.get("passed", True) is not False


def _has_int8() -> bool:
    return bool({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"} & set(instructions()))


class _Size(TypedDict):
    w_dim: int
    num_controls: int
    width: int
    height: int


def make_engine(
    candidate: Candidate,
    character: Character,
    settings: EngineSettings = EngineSettings(),
    progress: Progress | None = None,
) -> Engine:
    """Make an engine; it is loaded, and where it must be built, built, by `activate`.

    Args:
        candidate: `synthetic`, or a backend that is available, with a precision that the character has.
        character: an open character; may be closed afterwards.
        settings: how.
        progress: told how a build proceeds, by backends that build.

    Raises:
        EngineUnavailable: the backend cannot be used here after all.
        CharacterError: the character lacks what is needed.
    """
    backend, precision = candidate.backend, candidate.precision
    frame = character.manifest.frame
    threads = profile_threads(settings.profile) if settings.threads is None else settings.threads
    if backend == "synthetic":
        return SyntheticEngine(character.controls, width=frame.width, height=frame.height, w_dim=character.w_dim)
    if character.moves:
        return moving_engine(
            backend,
            reader=character.read("reader.onnx"),
            animator=character.read("animator.onnx"),
            people=character.people,
            portrait=character.read("portrait.onnx") if "portrait.onnx" in character else b"",
            latent_dim=character.latent_dim,
            controls=len(character.controls),
            threads=threads,
            profile=settings.profile,
            precision=precision,
            patient=settings.patient,
            progress=progress,
        )
    model = character.read(MEMBERS.get(precision, "generator.onnx"))
    size: _Size = {
        "w_dim": character.w_dim,
        "num_controls": len(character.controls),
        "width": frame.width,
        "height": frame.height,
    }
    if backend == "tensorrt":
        return tensorrt.TensorRtEngine(
            model, layout=character.layout, precision=precision, batches=settings.batches, progress=progress, **size
        )
    if backend == "tensorrt-rtx":
        return tensorrt_rtx.TensorRtRtxEngine(model, precision=precision, max_batch=max(settings.batches), **size)
    if backend == "openvino":
        return openvino.OpenVinoEngine(model, threads=threads, precision=precision, profile=settings.profile, **size)
    return onnxruntime.OnnxRuntimeEngine(
        model, threads=threads, precision=precision, profile=settings.profile, name=backend, **size
    )


def moving_engine(
    backend: str,
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
    """Make an engine that moves people's pictures.

    Args:
        backend: one of those that can.
        reader: `reader.onnx`.
        animator: `animator.onnx`.
        people: in the order of identities.
        portrait: `portrait.onnx`, empty if nobody is drawn from a latent.
        latent_dim: how many numbers it takes.
        controls: how many the animator takes.
        threads: of the processor, that compute or put pictures together.
        profile: how inference shares the machine.
        precision: of the motion; whoever is read or drawn once is in fp32.
        patient: see `EngineSettings`.
        progress: told how a build proceeds, by backends that build.
    """
    about: Callable[[], tuple[str, str]]
    open_motion: Callable[[], LoadedGraph]
    if backend == "tensorrt":
        about, open_motion = tensorrt.about, partial(tensorrt.open_graph, animator, progress=progress)
    elif backend == "tensorrt-rtx":
        about, open_motion = tensorrt_rtx.about, partial(tensorrt_rtx.open_graph, animator)
    elif backend == "openvino":
        about, open_motion = openvino.about, partial(openvino.open_graph, animator, threads, profile, precision)
    else:
        about = partial(onnxruntime.about, backend)
        open_motion = partial(onnxruntime.open_graph, animator, threads, profile, backend)
    # One thread: whoever is read is read beside the live loop, which needs the others.
    once = openvino if backend == "openvino" else onnxruntime
    side, w_dim = people[0].side, len(people) + latent_dim
    computing = 0 if backend in ON_GPU else threads
    return MovingEngine(
        open_motion,
        lambda model: once.open_graph(model, 1, profile),
        reader=reader,
        people=people,
        portrait=portrait,
        about=EngineDescription(backend, *about(), precision, computing, w_dim, controls, side, side),
        threads=threads,
        patient=patient,
    )


def open_engine(
    name: str,
    character: Character | None,
    *,
    precision: str = "auto",
    settings: EngineSettings = EngineSettings(),
    quick: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Load the engine that plays a character.

    A named engine that cannot play is an error. `auto` goes on to the next one and says why; the reference, ONNX
    Runtime on the processor, is the last.

    Args:
        name: one of `NAMES`.
        character: an open character, which may be closed afterwards; None only for `synthetic`.
        precision: one of `PRECISIONS`.
        settings: how to make it.
        quick: begin at once on the processor, and leave what takes long to start to `Choice.better`; only for `auto`.
        progress: told how a build proceeds.
        tell: told in a sentence that a character is tried, because it is played for the first time.

    Raises:
        EngineUnavailable: the engine or the precision cannot be used here.
        EngineError: the named engine could not be built or loaded, or draws something else.
        CharacterError: the character lacks what was asked for, or takes too much memory or time.
    """
    if character is not None:
        ensure_tried(character, tell=tell)
    if name == "synthetic":
        role = character.role() if character is not None else synthetic_role()
        card = SyntheticEngine(role.controls, width=role.width, height=role.height, w_dim=role.latents.w_dim)
        card.activate()
        return Choice(card, role)
    if character is None:
        raise CharacterError(f"The engine {name} needs a character. Give a .bunraku file, or use --engine synthetic.")
    found, passed = candidates(name, character, precision)
    better: tuple[Candidate, ...] = ()
    if quick and name == "auto" and any(each.backend not in ON_GPU for each in found):
        better = tuple(each for each in found if each.backend in ON_GPU)
        found = [each for each in found if each.backend not in ON_GPU]
    role = character.role()
    for candidate in found:
        try:
            return Choice(load_engine(candidate, character, settings, progress), role, tuple(passed), better)
        except EngineError as error:
            if name != "auto" or candidate is found[-1]:
                raise
            passed.append((str(candidate), str(error)))
    raise AssertionError("candidates() never returns an empty list")


def load_engine(
    candidate: Candidate,
    character: Character,
    settings: EngineSettings = EngineSettings(),
    progress: Progress | None = None,
) -> Engine:
    """Make an engine, activate it, and see that it draws this character.

    Raises:
        CharacterError: it is played for the first time, and takes too much memory or time.
        EngineError: it cannot be built or loaded, or draws something else.
    """
    ensure_tried(character)
    engine = make_engine(candidate, character, settings, progress)
    engine.activate()
    if candidate.backend in ON_GPU:
        try:
            check_against_preview(engine, character)
        except (CharacterError, EngineError):
            engine.deactivate()
            raise
    return engine
