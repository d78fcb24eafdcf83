"""Reduced-precision generators for a character file, if they pass the gate.

For int8: quantise all convolutions, let the gate judge, restore the most harmful ones to fp32, and after a few tries
give up: the report in the file then says why, and the file has no `generator.int8.onnx`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from runtime.character.file import Character
from runtime.character.role import Role
from runtime.character.writing import write_character
from runtime.drivers.recording import Recording
from runtime.engines.backend import GeneratorModel
from runtime.engines.base import Engine, Pixels, Sizes
from runtime.engines.factory import Candidate, EngineSettings, make_engine
from runtime.engines.first_load import ensure_tried
from runtime.engines.openvino import has_bf16
from runtime.engines.table import backend_of, unavailable
from runtime.machine import profile_threads
from training import metrics
from training.data.dataset import Dataset, Split, split_frames
from training.decoder import alpha
from training.errors import DatasetError
from training.pictures import premultiplied_tensor
from training.precision import gate
from training.precision.quantise import Prepared, prepare, quantise
from training.precision.trajectories import Poses, joined, latents, people, perform
from training.settings import Data
from training.sheets import Uint8, write_sheet

TRIES: Final = 5
BACK_AT_A_TIME: Final = 2  # layers restored to fp32 between two tries
CALIBRATION_PEOPLE: Final = 24
CALIBRATION_POSES: Final = 160  # from the data set; as many again are played
STILLS: Final = 64  # from the data set; as many again are played
SLOW_SCENES: Final = 3
SLOW_FRAMES: Final = 60
SLOW: Final = 0.5  # relative to real time
HARM_PICTURES: Final = 16  # examined per layer

Note = Callable[[str], None]


class Truth(msgspec.Struct, frozen=True):
    """Both generators against held-out pictures of the data set, for comparison.

    Attributes:
        pictures: how many.
        fp32_psnr_median_db: of the reference.
        psnr_median_db: of the other one.
    """

    pictures: int
    fp32_psnr_median_db: float
    psnr_median_db: float


class PrecisionReport(msgspec.Struct, frozen=True):
    """The gate's verdict; in `report.json` under `precision`.

    Attributes:
        precision: `int8`, `fp16` or `bf16`.
        passed: whether the file has the member; of bf16, which needs none, whether a runtime may choose it.
        figures: of each engine, at the last try.
        limits: what they had to reach.
        kept_float: layers kept in fp32 at the last try; int8 only.
        layers: their number.
        tries: number of judgements.
        stills: single pictures compared.
        slow_frames: frames of slow motion compared.
        bytes: size of the quantised graph.
        truth: None without a data set.
    """

    precision: str
    passed: bool
    figures: tuple[gate.Figures, ...]
    limits: dict[str, float]
    kept_float: tuple[str, ...]
    layers: int
    tries: int
    stills: int
    slow_frames: int
    bytes: int
    truth: Truth | None = None

    def sentence(self) -> str:
        """One line for people."""
        if self.passed:
            kept = f", {len(self.kept_float)} of {self.layers} layers in fp32" if self.kept_float else ""
            return f"{self.precision} passed{kept}"
        missed = {limit.figure: limit for figures in self.figures for limit in figures.failures()}
        return f"{self.precision} refused: " + ", ".join(
            f"{limit.figure} {limit.worst([getattr(f, limit.figure) for f in self.figures]):g} {limit.unit}"
            f" (needs {limit.value:g})"
            for limit in missed.values()
        )


@dataclass(frozen=True)
class Questions:
    """Poses for calibration and for judgement.

    Attributes:
        calibration: never used for judgement.
        stills: the first `len(truth)` of them show what `truth` shows.
        slow: scenes in slow motion.
        truth: uint8 [m, H, W, 4], premultiplied, of the data set.
    """

    calibration: Poses
    stills: Poses
    slow: tuple[Poses, ...]
    truth: Uint8


def ask(role: Role, dataset: Dataset | None, recording: Recording | None, split: Split | None = None) -> Questions:
    """Collect the poses that this character will be asked to draw.

    Args:
        role: the character.
        dataset: of the size of its pictures; None for poses of the drivers alone.
        recording: a performance to judge by; None for synthetic speech and moods.
        split: what the run held out of the data; None for the default split.

    Raises:
        DatasetError: its controls are not the character's.
    """
    who = people(role, CALIBRATION_PEOPLE)
    calibration = [perform(role, key, seconds=8, fps=1, talks=True, seed=seed) for seed, key in enumerate(who)]
    stills, truth = [], np.empty((0, role.height, role.width, 4), np.uint8)
    if dataset is not None:
        names = tuple(control.name for control in dataset.manifest.controls)
        if names != tuple(control.name for control in role.controls):
            raise DatasetError(
                f"The data set's controls are not those of {role.name}. Give the data it was trained on."
            )
        split = split or split_frames(dataset, **_held_out_by_default())
        w = latents(role, who)
        calibration.append(_crossed(w, dataset.controls[_spread(split.train, CALIBRATION_POSES)]))
        named = {number: name for name, number in dataset.named.items() if name in role.latents.names}
        shown = np.array([row for row in split.unseen_controls if int(dataset.identity[row]) in named], np.int64)
        shown = _spread(shown, STILLS // 2)
        if len(shown):
            own = latents(role, [named[int(dataset.identity[row])] for row in shown])
            stills.append(Poses(own, dataset.controls[shown]))
            truth = np.array(dataset.pictures[shown])
        others = split.unseen_identities if len(split.unseen_identities) else split.unseen_controls
        stills.append(_crossed(w, dataset.controls[_spread(others, STILLS - len(shown))]))
    scenes = list(enumerate(who[:: max(1, len(who) // 8)], start=100))
    length_s = recording.duration_s if recording is not None else 60.0
    played = {"recording": recording, "talks": recording is None}
    for seed, key in scenes:
        start_s = (seed - 100) / len(scenes) * length_s
        stills.append(perform(role, key, seconds=STILLS / 8, fps=1, start_s=start_s, seed=seed, **played))  # type: ignore[arg-type]
    slow = tuple(
        perform(role, key, seconds=SLOW_FRAMES * SLOW / 60, speed=SLOW, start_s=0.3 * length_s, seed=seed, **played)  # type: ignore[arg-type]
        for seed, key in scenes[:: max(1, len(scenes) // SLOW_SCENES)][:SLOW_SCENES]
    )
    return Questions(joined(calibration), joined(stills), slow, truth)


def examine(graph: bytes, role: Role, questions: Questions) -> gate.Exam:
    """Record the fp32 generator's answers on ONNX Runtime."""
    names = tuple(control.name for control in role.controls)
    with engine_for("onnxruntime", graph, role, "fp32") as reference:
        return gate.set_exam(reference, names, questions.stills, questions.slow)


def find_int8(
    graph: bytes,
    role: Role,
    questions: Questions,
    exam: gate.Exam,
    *,
    note: Note = lambda _: None,
    worst: Path | None = None,
) -> tuple[bytes | None, PrecisionReport]:
    """Search for a quantised generator that passes the gate.

    Args:
        graph: the fp32 generator.
        role: the character.
        questions: see `ask`.
        exam: see `examine`.
        note: told the current step.
        worst: where to write the worst picture: fp32 | int8 | eight times the difference.

    Returns:
        The graph, None if none was found, and the report on the last try.
    """
    note("int8: measuring the generator at work")
    prepared = prepare(graph, questions.calibration)
    kept: tuple[str, ...] = ()
    order: list[str] = []
    tries = 0
    while True:
        tries += 1
        note(f"int8: judging, {len(kept)} of {len(prepared.layers)} layers in fp32")
        candidate = quantise(prepared, keep_float=kept)
        judged = _judge(candidate, role, "int8", exam, _backends())
        passed = not any(figures.failures() for figures, _ in judged)
        if passed or tries == TRIES:
            break
        order = order or _most_harmful(prepared, exam, judged[0][1], role)
        kept = tuple(order[: BACK_AT_A_TIME * tries])
    if worst is not None:
        _show_worst(worst, exam, judged[0][1])
    report = _report("int8", candidate, judged, exam, questions, kept=kept, layers=len(prepared.layers), tries=tries)
    return (candidate if passed else None), report


def judge_as_it_is(
    graph: bytes, role: Role, precision: str, backend: str, questions: Questions, exam: gate.Exam
) -> PrecisionReport:
    """The gate's verdict on a generator that needs no quantising.

    Args:
        graph: to be played.
        role: the character.
        precision: `fp16`, or `bf16` for an engine that rounds the fp32 generator itself.
        backend: that plays it.
        questions: see `ask`.
        exam: see `examine`.
    """
    judged = _judge(graph, role, precision, exam, [backend])
    return _report(precision, graph, judged, exam, questions)


def add_precisions(
    character: Path,
    out: Path,
    *,
    dataset: Dataset | None,
    recording: Recording | None = None,
    split: Split | None = None,
    note: Note = lambda _: None,
    worst: Path | None = None,
) -> list[PrecisionReport]:
    """Rewrite a character file with reduced-precision generators that pass, and with all reports.

    int8 is searched for; an existing fp16 generator stays if it passes; bf16 is judged where this processor
    has it, so that a runtime knows whether it may choose it. For moving people, only bf16 is.

    Args:
        character: the file to read.
        out: the file to write; may be the same.
        dataset: see `ask`.
        recording: see `ask`.
        split: see `ask`.
        note: told the current step.
        worst: see `find_int8`.

    Raises:
        CharacterError, DatasetError, SinkError: see their modules.
    """
    with Character.open(character) as opened:
        ensure_tried(opened, tell=note)
        role, manifest, figures = opened.role(), opened.manifest, opened.report()
        left_out = ("character.json", "generator.int8.onnx")
        members: dict[str, bytes | Path] = {name: opened.read(name) for name in opened.members if name not in left_out}
        questions = ask(role, dataset, recording, split)
        if opened.moves:
            exam, reports = _judge_motion(opened, questions, note=note)
        else:
            exam, reports = _judge_generator(role, members, questions, note=note, worst=worst)
    told = {report.precision: msgspec.to_builtins(report) for report in reports}
    clear = alpha.measure(exam.stills_drawn)
    if clear.haze_outside > alpha.MOST_HAZE or clear.veil_inside > alpha.MOST_VEIL:
        note(
            f"alpha: {clear.haze_outside:.2%} of the pixels outside the figure are hazy and {clear.veil_inside:.2%} "
            f"inside a little clear (should be below {alpha.MOST_HAZE:.1%} and {alpha.MOST_VEIL:.1%}); train longer"
        )
    figures |= {"alpha": {"pictures": len(exam.stills), **msgspec.to_builtins(clear)}, "precision": told}
    members["report.json"] = msgspec.json.format(msgspec.json.encode(figures), indent=2)
    note("writing")
    write_character(out, manifest, members)
    return reports


def _judge_generator(
    role: Role, members: dict[str, bytes | Path], questions: Questions, *, note: Note, worst: Path | None
) -> tuple[gate.Exam, list[PrecisionReport]]:
    """Judge all precisions of a generator; `members` gain what passes and lose what does not."""
    graph, half = members["generator.onnx"], members.get("generator.fp16.onnx")
    assert isinstance(graph, bytes)
    exam = examine(graph, role, questions)
    quantised, report = find_int8(graph, role, questions, exam, note=note, worst=worst)
    if quantised is not None:
        members["generator.int8.onnx"] = quantised
    reports = [report]
    if isinstance(half, bytes):
        note("fp16: judging")
        reports.append(judge_as_it_is(half, role, "fp16", "onnxruntime", questions, exam))
        if not reports[-1].passed:
            del members["generator.fp16.onnx"]
    if "openvino" in _backends() and has_bf16():
        note("bf16: judging")
        reports.append(judge_as_it_is(graph, role, "bf16", "openvino", questions, exam))
    return exam, reports


def _judge_motion(character: Character, questions: Questions, *, note: Note) -> tuple[gate.Exam, list[PrecisionReport]]:
    """Judge an animator in bf16, if this machine has it; the people's pictures are the same in any case."""
    settings, names = EngineSettings(patient=True), tuple(control.name for control in character.controls)
    with make_engine(Candidate("onnxruntime", "fp32"), character, settings) as reference:
        exam = gate.set_exam(reference, names, questions.stills, questions.slow)
    if unavailable("openvino") or not has_bf16():
        note("bf16: not judged, because OpenVINO or its instructions are not here")
        return exam, []
    note("bf16: judging")
    with make_engine(Candidate("openvino", "bf16"), character, settings) as engine:
        judged = [gate.judge(exam, engine)]
    return exam, [_report("bf16", character.read("animator.onnx"), judged, exam, questions)]


def _judge(
    graph: bytes, role: Role, precision: str, exam: gate.Exam, backends: list[str]
) -> list[tuple[gate.Figures, Pixels]]:
    judged = []
    for backend in backends:
        with engine_for(backend, graph, role, precision) as engine:
            judged.append(gate.judge(exam, engine))
    return judged


def _report(
    precision: str,
    graph: bytes,
    judged: list[tuple[gate.Figures, Pixels]],
    exam: gate.Exam,
    questions: Questions,
    *,
    kept: tuple[str, ...] = (),
    layers: int = 0,
    tries: int = 1,
) -> PrecisionReport:
    return PrecisionReport(
        precision=precision,
        passed=not any(figures.failures() for figures, _ in judged),
        figures=tuple(figures for figures, _ in judged),
        limits={limit.figure: limit.value for limit in gate.LIMITS},
        kept_float=kept,
        layers=layers,
        tries=tries,
        stills=len(exam.stills),
        slow_frames=sum(map(len, exam.slow)),
        bytes=len(graph),
        truth=_truth(questions.truth, exam.stills_drawn, judged[0][1]),
    )


def _held_out_by_default() -> dict[str, float]:
    settings = Data("")
    return {"holdout_identities": settings.holdout_identities, "holdout_frames": settings.holdout_frames}


def _crossed(w: npt.NDArray[np.float32], controls: npt.NDArray[np.float32]) -> Poses:
    """The people in turn, each in another pose."""
    return Poses(w[np.arange(len(controls)) % len(w)], controls)


def _spread(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    chosen: npt.NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    return chosen


def _backends() -> list[str]:
    """All engines that run int8 here: they round in different places, so one may pass where another does not."""
    return ["onnxruntime", *(["openvino"] if not unavailable("openvino") else [])]


def engine_for(backend: str, graph: bytes, role: Role, precision: str) -> Engine:
    """An engine for one graph of a character, not yet active; threads as beside a game."""
    sizes = Sizes(role.latents.w_dim, len(role.controls), role.width, role.height)
    return backend_of(backend).draw(GeneratorModel(graph, sizes, precision, profile_threads("shared")))


def _most_harmful(prepared: Prepared, exam: gate.Exam, drawn: Pixels, role: Role) -> list[str]:
    """Layers by the error that each causes alone, worst first; half of the examined pictures are the worst ones."""
    errors = gate.squared_errors(exam, drawn, np.arange(len(drawn)))
    worst = np.argsort(-errors)
    rows = np.concatenate([worst[: HARM_PICTURES // 2], _spread(worst[HARM_PICTURES // 2 :], HARM_PICTURES // 2)])
    poses = exam.stills.take(rows.tolist())
    harm = {}
    for layer in prepared.layers:
        alone = quantise(prepared, keep_float=[other for other in prepared.layers if other != layer])
        with engine_for(_backends()[-1], alone, role, "int8") as engine:
            harm[layer] = float(gate.squared_errors(exam, gate.draw(engine, poses), rows).mean())
    return sorted(harm, key=lambda layer: -harm[layer])


def _truth(truth: Uint8, reference: Pixels, drawn: Pixels) -> Truth | None:
    if not len(truth):
        return None
    medians = []
    for pictures in (reference, drawn):
        decibel = [
            float(metrics.psnr(premultiplied_tensor(picture[None]), _premultiplied(wanted)))
            for picture, wanted in zip(pictures, truth, strict=False)
        ]
        medians.append(round(float(np.median(decibel)), 2))
    return Truth(len(truth), *medians)


def _premultiplied(picture: Uint8) -> Any:
    import torch

    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _show_worst(path: Path, exam: gate.Exam, drawn: Pixels) -> None:
    row = int(np.argmax(gate.squared_errors(exam, drawn, np.arange(len(drawn)))))
    wanted, found = exam.stills_drawn[row], drawn[row]
    difference = (premultiplied_tensor(wanted[None]) - premultiplied_tensor(found[None])).abs()[0, :3] * 8
    shown = np.full_like(wanted, 255)
    shown[..., :3] = (difference.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    labels = ("fp32", "int8", "difference x 8")
    with contextlib.suppress(OSError):
        write_sheet(path, np.stack([wanted, found, shown]), columns=3, column_labels=labels)
