"""The animator as a task: people given as references, moved as the data show it.

One step, for P people and F pictures of each:

    references, wanted = restyled by chance
    person  = reader(references)                    # once for each of the P
    motion  = animator(person, controls)            # P x F
    layers  = moved_layers(references, motion)
    picture = over(layers)
    loss    = moved(picture, wanted) + layers * |layers - wanted layers|
            + landmarks * |flow(where a point is) - (where it was - where it is)|
            + hidden * -log share(where a point is)
            + bending * |second differences of the flows of hair and body, less the rigid ones|
    in adversarial stages, about faces, given the controls:
    discriminator learns that the wanted ones are real and the moved ones are not
    loss   += adversarial * it is mistaken + feature * |its features of both|

Matrices are moved by Muon, everything else by Adam; a step whose gradient is many times the usual one is not taken.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from runtime.character.file import Character
from runtime.character.manifest import Manifest
from runtime.composite.references import REFERENCES
from training.adversary import Adversary
from training.animator.composite import moved_layers, over, resized, shares
from training.animator.evaluate import compare_animators, evaluate_animator
from training.animator.export import export_people
from training.animator.networks import READER_PX, Animator, Reader, build
from training.animator.recipe import AnimatorRecipe, AnimatorStage
from training.animator.restyle import Restyle
from training.animator.sheets import draw_sheets
from training.checkpoint import load_checkpoint
from training.data.dataset import Dataset, GroupSampler, Split, Uint8, open_dataset, read_labels, split_for_training
from training.data.landmarks import open_landmarks
from training.data.references import open_layers, open_references
from training.discriminator import PatchDiscriminator
from training.errors import CheckpointError, DatasetError, RecipeError, TrainingError
from training.from_character import ancestors_in, weights_of
from training.losses.adversarial import Shown
from training.losses.bending import bending
from training.losses.landmarks import landmark_terms
from training.losses.moved import MovedLoss
from training.losses.terms import region_weights
from training.optim.ema import update_average
from training.optim.muon import Muon, matrices_and_others
from training.optim.schedule import learning_rate_at
from training.pictures import planar
from training.portrait.task import PortraitTask
from training.runs import open_run
from training.settings import Stage
from training.task import Ancestor, Note, Position, Progress, Task, ancestors_of, anywhere, refuse_what_is_not_finite

USUAL_OVER = 200  # steps
FAR_TOO_LARGE = 8.0  # times the median gradient
SMOOTH = [REFERENCES.index(name) for name in ("back", "body", "front")]  # lids and lips have kinks
NOT_MATRICES = ("flows.", "planes.", "enter.", "first")  # heads and what reads pixels


@dataclass(frozen=True)
class Batch:
    """Pictures of one step.

    Attributes:
        seen: float32 [P, R, 4, READER_PX, READER_PX], premultiplied references.
        references: the same at the size of the stage.
        target: float32 [P * F, 4, S, S], premultiplied.
        layers: float32 [P * F, L, 4, S', S'], premultiplied.
        controls: float32 [P * F, c].
        regions: float32 [P * F, 3, 4].
        landmarks: float32 [2, P * F, R, J, 2], in the pictures and in the references; NaN where there is none.
    """

    seen: Tensor
    references: Tensor
    target: Tensor
    layers: Tensor
    controls: Tensor
    regions: Tensor
    landmarks: Tensor


class AnimatorTask:
    """One run of the animator.

    Attributes:
        recipe: of the run.
        dataset: at the size of the last stage.
        split: what is trained on and what is not.
        reader, animator: as they are being trained.
        reader_ema, animator_ema: averaged.
        discriminator: tells moved faces from real ones, in adversarial stages.
    """

    dataset: Dataset
    split: Split
    reader: Reader
    animator: Animator
    reader_ema: Reader
    animator_ema: Animator
    discriminator: PatchDiscriminator

    def __init__(self, recipe: AnimatorRecipe) -> None:
        """Begin without data and networks."""
        self.recipe = recipe
        self.position = Position()
        self.ancestors: tuple[Ancestor, ...] = ()
        self._device = torch.device("cpu")

    @property
    def digest(self) -> str:
        """See `Task`."""
        return self.dataset.digest

    def open_data(
        self, folder: Path, stages: Sequence[Stage], *, workers: int = 2, progress: Progress | None = None, note: Note
    ) -> None:
        """See `Task`."""

        def told(what: str) -> Any:
            return lambda done, total: progress(what, done, total) if progress is not None else None

        self._datasets: dict[int, Dataset] = {}
        self._references: dict[int, Uint8] = {}
        for size in sorted({stage.size_px for stage in stages}):
            self._datasets[size] = open_dataset(
                folder, size, workers=workers, progress=told(f"pictures at {size} px"), note=note
            )
        self.dataset = self._datasets[stages[-1].size_px]
        if self.dataset.manifest.size_px < READER_PX:
            raise RecipeError(
                f"{folder} has pictures of {self.dataset.manifest.size_px} px; the reader looks at {READER_PX} px. "
                f"Make the data set larger: bunraku-train data cast --layers --size {READER_PX}."
            )
        for size in sorted({READER_PX, *self._datasets}):
            self._references[size] = open_references(
                folder, size, workers=workers, progress=told(f"references at {size} px"), note=note
            )
        self._layers = open_layers(folder, workers=workers, progress=told("layers"), note=note)
        self._landmarks = open_landmarks(folder)
        self.split = split_for_training(folder, self.dataset, self.recipe.data)
        torch.manual_seed(self.recipe.seed)
        names = [control.name for control in self.dataset.manifest.controls]
        self.reader, self.animator = build(self.recipe.model, names, self.dataset.control_ranges)
        self.reader_ema = copy.deepcopy(self.reader).requires_grad_(False).eval()
        self.animator_ema = copy.deepcopy(self.animator).requires_grad_(False).eval()
        self.discriminator = PatchDiscriminator(
            in_channels=4, condition_dim=len(names), channels=self.recipe.model.discriminator_channels
        )

    def look_at(self, folder: Path, *, note: Note) -> None:
        """Move the people of another data set, at its size, in place of the run's own; to evaluate, not to train.

        Whoever has the attributes of somebody trained on counts as seen under new controls, everybody else as unseen.

        Args:
            folder: a data set with references, of the same controls.
            note: told where decoded pictures lie, if that is not beside the data.

        Raises:
            DatasetError: it has no references, or other controls.
        """
        known = {str(self.dataset.identities[person].attributes) for person in self.dataset.identity[self.split.train]}
        manifest, *_ = read_labels(folder)
        if manifest.controls != self.dataset.manifest.controls:
            raise DatasetError(f"{folder} has other controls than the run. Make it with the same rig or mapping.")
        self.dataset = open_dataset(folder, manifest.size_px, note=note)
        self._references = {
            size: open_references(folder, size, note=note) for size in {READER_PX, self.dataset.size_px}
        }
        seen = np.array([str(person.attributes) in known for person in self.dataset.identities])
        frames = np.arange(len(self.dataset.identity))
        self.split = Split(
            train=frames[:0],
            unseen_controls=frames[seen[self.dataset.identity]],
            unseen_identities=frames[~seen[self.dataset.identity]],
        )

    def prepare(self, fabric: Fabric) -> None:
        """See `Task`."""
        self._fabric, self._device = fabric, fabric.device
        self._usual: deque[float] = deque(maxlen=USUAL_OVER)
        for network in (self.reader_ema, self.animator_ema):
            network.to(fabric.device)

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """See `Task`."""
        state = load_checkpoint(checkpoint, "recipe", "position")
        self._load_networks(
            {name.removesuffix("_ema"): state["networks"].get(name, {}) for name in ("reader_ema", "animator_ema")},
            also_averaged=True,
        )
        return ancestors_of(state)

    def begin_with(self, character: Character) -> tuple[Ancestor, ...]:
        """See `Beginning`."""
        own, theirs = ([c.name for c in listed] for listed in (self.dataset.manifest.controls, character.controls))
        if own != theirs:
            raise CheckpointError(
                f"{character.path} is moved by other controls than the data set has. Name a character made from the "
                "same rig or mapping."
            )
        self._load_networks(
            {name: weights_of(character, f"{name}.onnx", f"{name}.") for name in ("reader", "animator")},
            also_averaged=True,
        )
        return ancestors_in(character)

    def state(self) -> dict[str, Any]:
        """See `Task`."""
        networks = {name: getattr(self, name).state_dict() for name in self._names()}
        if any(stage.adversarial for stage in self.recipe.stage):
            networks["discriminator"] = self.discriminator.state_dict()
        controls = [msgspec.to_builtins(control) for control in self.dataset.manifest.controls]
        return {"networks": networks, "controls": controls}

    def load(self, state: dict[str, Any]) -> None:
        """See `Task`."""
        self._load_networks(state["networks"])
        self.position = Position.restored(state["position"])
        self.ancestors = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:  # noqa: ARG002  nothing to tell
        """See `Task`."""
        self._stage: AnimatorStage = self.recipe.stage[stage]
        fabric, settings = self._fabric, self._stage
        matrices, others = matrices_and_others(NOT_MATRICES, self.reader, self.animator)
        self._trained, self._matrices = matrices + others, matrices
        self._muon = Muon(matrices, lr=settings.lr * settings.muon)
        self._adam = Adam(others, lr=settings.lr, betas=(settings.beta1, 0.99), fused=True)
        self._read, self._animate = fabric.setup_module(self.reader), fabric.setup_module(self.animator)
        self._step_muon = cast(Optimizer, fabric.setup_optimizers(self._muon))
        self._step_adam = cast(Optimizer, fabric.setup_optimizers(self._adam))
        self._adversary = None
        if settings.adversarial:
            roughness = self.recipe.loss.roughness
            self._adversary = Adversary(fabric, self.discriminator, self.recipe, settings, roughness=roughness)
        self._sampler = GroupSampler(self.dataset, self.split.train, each=settings.frames)
        if optimizers is not None:
            try:
                self._muon.load_state_dict(optimizers["muon"])
                self._adam.load_state_dict(optimizers["adam"])
                self._usual.extend(optimizers["usual"])
                if self._adversary is not None:
                    self._adversary.load_optimizer(optimizers["discriminator"])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"The checkpoint's optimisers do not fit this stage: {error}. Use another."
                ) from error

    def batch(self, position: Position) -> Batch:
        """See `Task`."""
        recipe, stage, rank = self.recipe, self._stage, self._fabric.global_rank
        frames = self._sampler.batch(
            stage.batch,
            named_share=recipe.data.named_share,
            seed=recipe.seed,
            step=position.step,
            rank=rank,
        )
        batch = self._batch(frames, stage.size_px, stage.frames)
        style = Restyle.drawn(len(batch.seen), stage.restyled, torch.default_generator)  # which the loop has seeded
        return Batch(
            style.pictures(batch.seen),
            style.pictures(batch.references),
            style.pictures(batch.target),
            style.pictures(batch.layers, small=True),
            batch.controls,
            style.boxes(batch.regions),
            torch.stack([style.points(points) for points in batch.landmarks]),
        )

    def _batch(self, frames: np.ndarray[Any, Any], size_px: int, each: int) -> Batch:
        dataset = self._datasets[size_px]
        people = dataset.identity[frames[::each]]
        now, then = self._landmarks.frames[frames], self._landmarks.references[dataset.identity[frames]]
        return Batch(
            planar(self._references[READER_PX][people], self._device),
            planar(self._references[size_px][people], self._device),
            planar(dataset.pictures[frames], self._device),
            planar(self._layers[frames], self._device),
            torch.from_numpy(dataset.controls[frames]).to(self._device),
            torch.from_numpy(dataset.regions[frames]).to(self._device),
            torch.from_numpy(np.stack([now, then])).to(self._device),
        )

    def step(self, batch: Batch, position: Position) -> dict[str, Tensor]:
        """See `Task`."""
        stage, weights = self._stage, self.recipe.loss
        rate = learning_rate_at(stage, position.stage_images)
        for optimizer, factor in ((self._muon, stage.muon), (self._adam, 1.0)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        for parameter in self._trained:
            parameter.grad = None

        person = self._read(batch.seen).repeated(stage.frames)
        motion = self._animate(person, batch.controls)
        references = batch.references.repeat_interleave(stage.frames, 0)
        layers = moved_layers(references, motion.flow, resized(motion.planes, stage.size_px))
        eyes, mouth, brows = self.recipe.emphasis(stage)
        pixel_weight = region_weights(batch.regions, stage.size_px, eyes, mouth)
        if brows:
            pixel_weight = pixel_weight + region_weights(above_eyes(batch.regions), stage.size_px, brows, 0) - 1
        picture = over(layers)
        loss, terms = MovedLoss(weights.gradient, weights.coarse)(picture, batch.target, pixel_weight)
        side = min(stage.size_px, batch.layers.shape[-1])
        by_layer = (_to_size(layers, side) - _to_size(batch.layers, side)).abs().mean()
        loss = loss + weights.layers * by_layer
        values = dict(zip(("pixel", "gradient", "coarse"), terms, strict=True)) | {"layers": by_layer}
        if batch.landmarks.shape[3]:
            told = landmark_terms(motion.flow, shares(motion.planes), *batch.landmarks)
            loss = loss + weights.landmarks * told["landmarks"] + weights.hidden * told["hidden"]
            values |= told
        if weights.bending:
            free = motion.flow - self.animator.rigid_flow(batch.controls)
            values["bending"] = bending(free[:, SMOOTH])
            loss = loss + weights.bending * values["bending"]
        if self._adversary is not None:
            real, fake = faces(batch.regions, batch.target, picture.clamp(0, 1))
            asked = self.animator.steered(batch.controls)
            judgement = self._adversary.judged(Shown(real, asked), Shown(fake, asked), step=position.step)
            loss = loss + weights.adversarial * judgement["adversarial"] + weights.feature * judgement["feature"]
            values |= judgement
        values["loss"] = loss
        self._fabric.backward(loss)

        norm = nn.utils.clip_grad_norm_(self._trained, self.recipe.clip_norm)
        refuse_what_is_not_finite(self._fabric, self.recipe.precision, values, norm)
        usual = sorted(self._usual)[len(self._usual) // 2] if self._usual else float("inf")
        skipped = anywhere(self._fabric, float(norm) > FAR_TOO_LARGE * usual)
        self._usual.append(float(norm))
        if not skipped:
            self._step_muon.step()
            self._step_adam.step()
            if stage.weight_decay:
                with torch.no_grad():
                    matrices: list[Tensor] = [*self._matrices]
                    torch._foreach_mul_(matrices, 1 - stage.weight_decay * rate / stage.lr)
            shown = stage.batch * self._fabric.world_size
            for average, current in ((self.reader_ema, self.reader), (self.animator_ema, self.animator)):
                update_average(
                    average,
                    current,
                    images=position.images + shown,
                    batch=shown,
                    half_life=self.recipe.ema_kimg * 1000,
                )
        return {**values, "norm": norm, "skipped": torch.tensor(float(skipped)), "learning_rate": torch.tensor(rate)}

    def optimizers(self) -> dict[str, Any]:
        """See `Task`."""
        state = {"muon": self._muon.state_dict(), "adam": self._adam.state_dict(), "usual": list(self._usual)}
        return state if self._adversary is None else {**state, "discriminator": self._adversary.optimizer()}

    @torch.no_grad()
    def check_sound(self) -> None:
        """See `Task`."""
        batch = self._batch(self.split.train[:1], self.dataset.size_px, 1)
        for reader, animator in ((self.reader, self.animator), (self.reader_ema, self.animator_ema)):
            with self._fabric.autocast():
                motion = animator(reader(batch.seen), batch.controls)
            if not (torch.isfinite(motion.flow).all() and torch.isfinite(motion.planes).all()):
                raise TrainingError(
                    "The run has diverged: the animator gives numbers that are not finite. It was not saved; the last "
                    f"checkpoint is as it was. Train again with a lower learning rate than {self._stage.lr:g}, for "
                    "example from that checkpoint in another folder: --set start.checkpoint=…"
                )

    def leave(self, stage: int) -> None:
        """See `Task`."""

    def sheets(self, folder: Path, images: int) -> None:
        """See `Task`."""
        draw_sheets(self, folder, f"{images // 1000:05d}-")

    def evaluate(self, folder: Path, *, frames: int, at_px: int | None, note: Note) -> dict[str, Any]:
        """See `Task`."""
        return evaluate_animator(self, folder, frames=frames, at_px=at_px, note=note)

    def gallery(self, folder: Path, *, seed: int, truncation_psi: float) -> list[Path]:  # noqa: ARG002  nobody is drawn
        """See `Exporting`."""
        return draw_sheets(self, folder, "")

    def compare(self, other: Task, sheet: Path) -> dict[str, Any]:
        """See `Exporting`."""
        if not isinstance(other, AnimatorTask):
            raise CheckpointError("The other run is of another task, which draws other pictures. Compare two of one.")
        return compare_animators(self, other, sheet)

    def export(
        self,
        out: Path,
        *,
        name: str,
        report: dict[str, Any],
        refine: bool,  # noqa: ARG002  nothing is fitted to people, and motion stays in fp32
        half: bool,  # noqa: ARG002
        note: Note,
        people: Path | None = None,
        portrait: Path | None = None,
    ) -> Manifest:
        """See `Exporting`."""
        imagined = None if portrait is None else open_run(portrait, note=note)
        if not (imagined is None or isinstance(imagined, PortraitTask)):
            raise CheckpointError(f"{portrait} is a run of another task. Name one of the task portrait.")
        return export_people(self, out, name=name, report=report, people=people, imagined=imagined, note=note)

    @torch.no_grad()
    def draw(self, people: np.ndarray[Any, Any], controls: np.ndarray[Any, Any], *, at_once: int = 16) -> Tensor:
        """Draw people of the data set with the averaged networks.

        Args:
            people: numbers of identities, [N].
            controls: float32 [N, c], natural units.
            at_once: pictures at a time.

        Returns:
            premultiplied RGBA on the CPU, float32 [N, 4, S, S], rounded to 255ths.
        """
        size, out = self.dataset.size_px, []
        for start in range(0, len(people), at_once):
            rows = slice(start, start + at_once)
            seen = planar(self._references[READER_PX][people[rows]], self._device)
            references = planar(self._references[size][people[rows]], self._device)
            out.append(self._moved(seen, references, controls[rows]))
        return torch.cat(out)

    @torch.no_grad()
    def draw_others(self, references: Tensor, controls: np.ndarray[Any, Any], *, at_once: int = 16) -> Tensor:
        """The same for people who are in no data set.

        Args:
            references: premultiplied RGBA, float32 [N, len(REFERENCES), 4, S, S], S at least READER_PX.
            controls: as for `draw`.
            at_once: as for `draw`.
        """
        out = []
        for start in range(0, len(references), at_once):
            rows = slice(start, start + at_once)
            given = references[rows].to(self._device)
            out.append(self._moved(_to_size(given, READER_PX), given, controls[rows]))
        return torch.cat(out)

    def moved(self, references: Tensor, controls: Tensor) -> Tensor:
        """What `draw_others` draws, before it is rounded, so that gradients reach the references.

        Args:
            references: premultiplied RGBA, float32 [N, len(REFERENCES), 4, S, S] on the device, S at least READER_PX.
            controls: float32 [N, c] on the device, natural units.

        Returns:
            premultiplied RGBA, float32 [N, 4, S, S] on the device; it may lie a little outside of 0..1.
        """
        return self._over(_to_size(references, READER_PX), references, controls)

    def _moved(self, seen: Tensor, references: Tensor, controls: np.ndarray[Any, Any]) -> Tensor:
        picture = self._over(seen, references, torch.from_numpy(np.asarray(controls, np.float32)).to(self._device))
        return (picture.clamp(0, 1) * 255).round().div(255).cpu()

    def _over(self, seen: Tensor, references: Tensor, controls: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision != "32-true"):
            motion = self.animator_ema(self.reader_ema(seen), controls)
        return over(moved_layers(references, motion.flow, resized(motion.planes, references.shape[-1])))

    def at_rest(self, people: np.ndarray[Any, Any]) -> Tensor:
        """The same people as their references show them: premultiplied RGBA, float32 [N, 4, S, S]."""
        references = planar(self._references[self.dataset.size_px][people], self._device)
        return over(references[:, :-1]).cpu()

    def _names(self) -> tuple[str, ...]:
        return ("reader", "animator", "reader_ema", "animator_ema")

    def _load_networks(self, weights: dict[str, Any], *, also_averaged: bool = False) -> None:
        try:
            for name in self._names():
                source = name.removesuffix("_ema") if also_averaged else name
                getattr(self, name).load_state_dict(weights[source])
            if "discriminator" in weights:
                self.discriminator.load_state_dict(weights["discriminator"])
        except (RuntimeError, AttributeError, LookupError, TypeError) as error:
            raise CheckpointError(f"The checkpoint or character does not fit the recipe's networks: {error}") from error


def faces(regions: Tensor, wanted: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """A piece of half the side around every face, a little beside it by chance, the same of both.

    Args:
        regions: [N, 3, 4] boxes of left eye, right eye and mouth, in 0..1; all zero where there is none.
        wanted: pictures, [N, 4, S, S].
        drawn: the same people, the same shape.

    Returns:
        both, [N, 4, S / 2, S / 2].
    """
    count, _, size, _ = wanted.shape
    side, away = size // 2, size // 16
    middle = ((regions[:, :, :2] + regions[:, :, 2:]).mean(1) / 2).cpu() * size - side / 2
    corners = (middle.round().int() + torch.randint(-away, away + 1, (count, 2))).clamp(0, size - side)

    def cut(pictures: Tensor) -> Tensor:
        pieces = [
            picture[:, y : y + side, x : x + side] for picture, (x, y) in zip(pictures, corners.tolist(), strict=True)
        ]
        return torch.stack(pieces)

    return cut(wanted), cut(drawn)


def above_eyes(regions: Tensor) -> Tensor:
    """Boxes of brows, above those of eyes and a little wider.

    Args:
        regions: [N, 3, 4] boxes of left eye, right eye and mouth: x0, y0, x1, y1.

    Returns:
        the same, with brows in place of eyes.
    """
    left, top, right, bottom = regions[:, :2].unbind(-1)
    wide, high = 0.15 * (right - left), bottom - top
    brows = torch.stack([left - wide, top - 0.6 * high, right + wide, top + 0.1 * high], -1)
    return torch.cat([brows, regions[:, 2:]], 1)


def _to_size(layers: Tensor, size_px: int) -> Tensor:
    """[N, L, 4, S, S] -> [N, L, 4, size_px, size_px], averaged."""
    factor = layers.shape[-1] // size_px
    return F.avg_pool2d(layers.flatten(1, 2), factor).view(*layers.shape[:3], size_px, size_px)
