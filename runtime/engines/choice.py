"""The choice of the engine that plays a character, made once, by name, and reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from engine_bridge.errors import CharacterError, EngineError, EngineUnavailable
from runtime.character.file import Character
from runtime.character.role import Role

from .backend import Backend, Progress
from .base import Engine
from .factory import MEMBERS, USUAL, Candidate, EngineSettings, make_engine
from .first_load import ensure_tried
from .preview_check import check_against_preview
from .synthetic import SyntheticEngine, synthetic_role
from .table import BACKENDS, SYNTHETIC, backend_of

PRECISIONS: Final = ("auto", "fp32", "fp16", "bf16", "int8")
# In fp32 ONNX Runtime draws a 512 px character of format 1 in seven eighths of OpenVINO's time, with less processor
# load; moving one takes it 1.4 times as long.
_LAST: Final = Candidate("openvino", "fp32")


@dataclass(frozen=True, slots=True)
class Choice:
    """An active engine and why it was chosen. Use it as a context manager; the engine is deactivated at its end.

    Attributes:
        engine: active.
        role: the character it draws.
        passed_over: (engine, reason) of faster ones that were skipped.
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
        """The same reasons in brief, for the window and the heartbeat."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.passed_over:
            by_reason.setdefault(reason.partition(";")[0], []).append(name)
        return "; ".join(f"{reason} ({', '.join(names)})" for reason, names in by_reason.items())

    def sentence(self) -> str:
        """One line for people: the choice, and why nothing faster."""
        about = self.engine.description
        text = f"{about.label} ({about.version}"
        text += f", {about.threads} thread{'s' * (about.threads > 1)})" if about.on_cpu else ")"
        return f"{text}; faster ones passed over: {self.note}" if self.passed_over else text


def candidates(
    name: str, character: Character, precision: str = "auto"
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """Engines that could play this character here, the fastest first, and why faster ones cannot.

    Args:
        name: one of `NAMES` except `synthetic`.
        character: an open character.
        precision: one of `PRECISIONS`.

    Returns:
        The candidates, and (backend or candidate, reason) of those that would have come first.

    Raises:
        EngineUnavailable: the named one is unknown or cannot be used here, or `auto` found nothing.
        CharacterError: the character lacks what was requested.
    """
    tried = [backend for backend in BACKENDS if not backend.by_name] if name == "auto" else [backend_of(name)]
    if precision not in PRECISIONS:
        raise EngineUnavailable(f'There is no precision "{precision}". Choose one of: {", ".join(PRECISIONS)}.')
    if precision in MEMBERS and MEMBERS[precision] not in character:
        raise CharacterError(f"{character.path.name} {_without(precision)}. Choose --precision fp32 or auto.")
    if name != "auto" and (reason := tried[0].unavailable()):
        raise EngineUnavailable(f"The engine {name} cannot be used (`--engine auto` finds one that can): {reason}")
    found: list[Candidate] = []
    passed: list[tuple[str, str]] = []
    for backend in tried:
        if reason := backend.unavailable():
            passed += [] if found else [(backend.name, reason)]
            continue
        for each in _possible(backend, character) if precision == "auto" else (precision,):
            lack = _lacking(backend, each, character, chosen=precision != "auto")
            if not lack:
                found.append(Candidate(backend.name, each))
            elif not found:
                passed.append((f"{backend.name} {each}", lack))
    found.sort(key=lambda candidate: candidate == _LAST and not character.moves)
    if not found:
        told = "; ".join(f"{what}: {why.partition('; ')[0]}" for what, why in passed)
        raise EngineUnavailable(f"Nothing here can play {character.path.name} like that ({told}). Choose `auto`.")
    return found, passed


def _possible(backend: Backend, character: Character) -> tuple[str, ...]:
    return backend.moves_in if character.moves else backend.precisions


def _lacking(backend: Backend, precision: str, character: Character, *, chosen: bool) -> str:
    """Why this precision cannot, or unless `chosen` should not, be used; empty if it can."""
    possible = _possible(backend, character)
    if precision not in possible:
        does = "moves people" if character.moves else "computes"
        return f"it {does} in {', '.join(possible)} only"
    if precision in MEMBERS and MEMBERS[precision] not in character:
        return f"the character {_without(precision)}"
    if chosen:
        return ""
    if lack := backend.lacks(precision):
        return lack
    if precision == "bf16" and not _gate_allows_bf16(character):
        return "the character's pictures did not pass the quality gate in bf16"
    return ""


def _without(precision: str) -> str:
    gate = "; it is exported only when its pictures pass a quality gate" if precision == "int8" else ""
    return f"has no {precision} generator{gate}"


def _gate_allows_bf16(character: Character) -> bool:
    """The verdict in the exporter's report; True if not judged, because the exporter's processor had no bf16."""
    told = character.report().get("precision", {})
    judged = told.get("bf16", {}) if isinstance(told, dict) else {}
    return not isinstance(judged, dict) or judged.get("passed", True) is not False


def open_engine(
    name: str,
    character: Character | None,
    *,
    precision: str = "auto",
    settings: EngineSettings = USUAL,
    quick: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Load the engine that plays a character.

    A named engine that cannot play is an error. `auto` moves on to the next one and says why; the reference, ONNX
    Runtime on the processor, is the last.

    Args:
        name: one of `NAMES`.
        character: an open character, which may be closed afterwards; None only for `synthetic`.
        precision: one of `PRECISIONS`.
        settings: how to create it.
        quick: start at once on the processor, and leave slow starters to `Choice.better`; only for `auto`.
        progress: called with the progress of a build.
        tell: called with a sentence when a character is tried, because it is played for the first time.

    Raises:
        EngineUnavailable: the engine or the precision cannot be used here.
        EngineError: the named engine could not be built or loaded, or draws something else.
        CharacterError: the character lacks what was requested, or takes too much memory or time.
    """
    if character is not None:
        ensure_tried(character, tell=tell)
    if name == SYNTHETIC:
        role = character.role() if character is not None else synthetic_role()
        card = SyntheticEngine(role.controls, width=role.width, height=role.height, w_dim=role.latents.w_dim)
        card.activate()
        return Choice(card, role)
    if character is None:
        raise CharacterError(f"The engine {name} needs a character. Give a .bunraku file, or use --engine synthetic.")
    found, passed = candidates(name, character, precision)
    better: tuple[Candidate, ...] = ()
    on_gpu = [each for each in found if backend_of(each.backend).on_gpu]
    if quick and name == "auto" and len(on_gpu) < len(found):
        better = tuple(on_gpu)
        found = [each for each in found if each not in on_gpu]
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
    settings: EngineSettings = USUAL,
    progress: Progress | None = None,
) -> Engine:
    """Create an engine, activate it, and check that it draws this character.

    Raises:
        CharacterError: it is played for the first time, and takes too much memory or time.
        EngineError: it cannot be built or loaded, or draws something else.
    """
    ensure_tried(character)
    engine = make_engine(candidate, character, settings, progress)
    engine.activate()
    if backend_of(candidate.backend).on_gpu:
        try:
            check_against_preview(engine, character)
        except (CharacterError, EngineError):
            engine.deactivate()
            raise
    return engine
