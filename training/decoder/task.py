"""The decoder as a task: its data, its stages, evaluation and export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor

from runtime.character.manifest import Manifest
from training.data.attributes import attribute_table
from training.data.dataset import Dataset, GroupSampler, Split, open_dataset, split_for_training
from training.decoder.evaluate import compare_checkpoints, evaluate
from training.decoder.export import Trained, export_character
from training.decoder.gallery import write_gallery
from training.decoder.inherit import begin_from
from training.decoder.progress import draw_progress_sheets
from training.decoder.recipe import DecoderRecipe
from training.decoder.state import Networks, build_networks
from training.decoder.teacher import Teacher
from training.decoder.trainer import Batch, StageTrainer, begin_with_attributes
from training.errors import CheckpointError, RecipeError
from training.settings import Stage
from training.task import Ancestor, Note, Position, Progress, Task


class DecoderTask:
    """One run of the decoder.

    Attributes:
        recipe: of the run.
        dataset: at the size of the last stage.
        split: training and held-out frames.
        networks: current and averaged.
    """

    dataset: Dataset
    split: Split
    networks: Networks

    def __init__(self, recipe: DecoderRecipe) -> None:
        """Start without data and networks."""
        self.recipe = recipe
        self._position, self._ancestors = Position(), tuple[Ancestor, ...]()

    @property
    def digest(self) -> str:
        """Digest of the labels, in hex."""
        return self.dataset.digest

    def open_data(
        self, folder: Path, stages: Sequence[Stage], *, workers: int = 2, progress: Progress | None = None, note: Note
    ) -> None:
        """See `Task`."""
        self._datasets = dict[int, Dataset]()
        for size in sorted({stage.size_px for stage in stages}):

            def show(done: int, total: int, what: str = f"pictures at {size} px") -> None:
                if progress is not None:
                    progress(what, done, total)

            self._datasets[size] = open_dataset(folder, size, workers=workers, progress=show, note=note)
        self.dataset = self._datasets[stages[-1].size_px]
        self.split = split_for_training(folder, self.dataset, self.recipe.data)
        self.networks = build_networks(self.recipe, self.dataset.control_ranges)

    def prepare(self, fabric: Fabric) -> None:
        """See `Task`."""
        self._fabric, networks = fabric, self.networks
        networks.generator = networks.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks.encoder = networks.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks.discriminator = networks.discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._sampler = GroupSampler(self.dataset, self.split.train)
        self._teacher: Teacher | None = None
        taught = {stage.size_px for stage in self.recipe.stage if stage.distillation}
        if taught and self.recipe.start is not None:
            self._teacher = Teacher.open(
                Path(self.recipe.start.checkpoint), self.dataset.control_ranges, taught, fabric.device
            )

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """See `Task`."""
        known = any(stage.attributes for stage in self.recipe.stage)
        people = torch.from_numpy(attribute_table(self.dataset.identities).values) if known else None
        self._ancestors = begin_from(self.networks, checkpoint, people)
        return self._ancestors

    def state(self) -> dict[str, Any]:
        """See `Task`."""
        controls = [msgspec.to_builtins(control) for control in self.dataset.manifest.controls]
        return {"networks": self.networks.state(), "controls": controls}

    def load(self, state: dict[str, Any]) -> None:
        """See `Task`."""
        self.networks.load(state["networks"])
        self._position = Position.restored(state["position"])
        self._ancestors = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:
        """See `Task`."""
        settings = self.recipe.stage[stage]
        dataset, frames = self._datasets[settings.size_px], self.split.train
        if settings.attributes and self.networks.known is None:
            begin_with_attributes(self.networks, dataset, frames, self._fabric.device)
        teacher = self._teacher if settings.distillation else None
        self._trainer = StageTrainer(
            self._fabric, self.recipe, settings, self.networks, dataset, frames, teacher=teacher
        )
        if optimizers is None:
            self._trainer.enter(note)
        else:
            self._trainer.load_optimizers(optimizers)

    def batch(self, position: Position) -> Batch:
        """See `Task`."""
        stage, share = self._trainer.stage, self.recipe.data.named_share
        return self._trainer.batch(
            self._sampler.batch(
                stage.batch,
                named_share=share if stage.named_share is None else stage.named_share,
                seed=self.recipe.seed,
                step=position.step,
                rank=self._fabric.global_rank,
            )
        )

    def step(self, batch: Batch, position: Position) -> dict[str, Tensor]:
        """See `Task`."""
        return self._trainer.step(batch, position)

    def optimizers(self) -> dict[str, Any]:
        """See `Task`."""
        return self._trainer.optimizers()

    def check_sound(self) -> None:
        """See `Task`."""
        self._trainer.check_sound()

    def leave(self, stage: int) -> None:
        """See `Task`."""
        if stage + 1 == len(self.recipe.stage) and self.networks.mapping is None:
            self.networks.mapping = self._trainer.fit_prior()

    def sheets(self, folder: Path, images: int) -> None:
        """See `Task`."""
        draw_progress_sheets(folder, self.networks, self._trainer.dataset, self._trainer.frames, images)

    def evaluate(self, folder: Path, *, frames: int, at_px: int | None, note: Note) -> dict[str, Any]:
        """See `Task`."""
        return evaluate(self.networks, self.dataset, self.split, frames=frames, at_px=at_px, sheets=folder, note=note)

    def compare(self, other: Task, sheet: Path) -> dict[str, Any]:
        """See `Exporting`."""
        if not isinstance(other, DecoderTask):
            raise CheckpointError("The other run is of another task, which draws other pictures. Compare two of one.")
        return compare_checkpoints(self.trained, other.trained, sheet)

    def gallery(self, folder: Path, *, seed: int, truncation_psi: float) -> list[Path]:
        """See `Exporting`."""
        return write_gallery(self.trained, folder, seed=seed, truncation_psi=truncation_psi)

    def export(
        self,
        out: Path,
        *,
        name: str,
        report: dict[str, Any],
        refine: bool,
        half: bool,
        note: Note,
        people: Path | None = None,
        portrait: Path | None = None,
    ) -> Manifest:
        """See `Exporting`."""
        if people is not None:
            raise RecipeError("A generator draws only people that it was trained on. Leave --people out.")
        if portrait is not None:
            raise RecipeError("A generator draws people from seeds by itself. Leave --portrait out.")
        return export_character(self.trained, out, name=name, report=report, refine=refine, half=half, note=note)

    @property
    def trained(self) -> Trained:
        """The run in the form that evaluation and export take."""
        if self.networks.mapping is not None:
            self.networks.mapping.requires_grad_(False).eval()
        return Trained(
            self.recipe,
            self.networks,
            self.dataset,
            self.split,
            self._position.images,
            self._position.seconds,
            self._ancestors,
        )
