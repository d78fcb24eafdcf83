"""The dense GAN as a task: a generator G and a discriminator D of fully connected layers, one against the other.

Goodfellow 2014 (arXiv:1406.2661), algorithm 1 with k = 1. One step, for N pictures x of the folder:

    z       ~ normal(0, 1), N of them
    x'      = G(z)
    loss    = mean(-log D(x)) + mean(-log(1 - D(x')))    # cross-entropy: real or drawn?
    D       = Adam(D, gradient of the loss)              # x' counts as given
    loss    = mean(-log D(x'))                           # by the new D; its slope is steep where G is bad
    G       = Adam(G, gradient of the loss)
    average = average of G over the last steps           # what is shown and exported

D gives logits, from which `-log D` and `-log(1 - D)` are computed directly. Nothing else is known about the pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from runtime.character.manifest import Manifest
from training.checkpoint import load_checkpoint
from training.data.dataset import Dataset, Split, split_for_training
from training.errors import CheckpointError, DatasetError, RecipeError, TrainingError
from training.image_gan.evaluate import evaluate_dense, measured
from training.image_gan.export import export_dense
from training.image_gan.networks import Discriminator, Generator
from training.image_gan.pictures import open_pictures
from training.image_gan.recipe import DenseRecipe, DenseStage
from training.image_gan.sheets import write_seeds, write_walks
from training.optim.ema import update_average
from training.optim.schedule import learning_rate_at
from training.pictures import planar
from training.settings import Stage
from training.task import Ancestor, Note, Position, Progress, Task, ancestors_of, refuse_what_is_not_finite

BETA2 = 0.999
NETWORKS = ("generator", "generator_ema", "discriminator")
Rows = np.ndarray[Any, np.dtype[np.int64]]


class DenseTask:
    """One run of the dense GAN.

    Attributes:
        recipe: of the run.
        dataset: the pictures.
        split: training and held-out pictures.
        generator: as it is being trained.
        generator_ema: averaged.
        discriminator: distinguishes drawn from real pictures.
    """

    dataset: Dataset
    split: Split

    def __init__(self, recipe: DenseRecipe) -> None:
        """Start without data."""
        self.recipe = recipe
        self.position = Position()
        self.ancestors: tuple[Ancestor, ...] = ()
        self._device = torch.device("cpu")
        torch.manual_seed(recipe.seed)
        size = recipe.stage[-1].size_px
        self.generator, self.discriminator = Generator(recipe.model, size), Discriminator(recipe.model, size)
        self.generator_ema = copy.deepcopy(self.generator).requires_grad_(False).eval()

    @property
    def digest(self) -> str:
        """See `Task`; here of the files."""
        return self.dataset.digest

    def open_data(
        self,
        folder: Path,
        stages: Sequence[Stage],
        *,
        workers: int = 2,  # noqa: ARG002  files are read one after the other
        progress: Progress | None = None,
        note: Note,
    ) -> None:
        """See `Task`."""

        def told(done: int, total: int) -> None:
            if progress is not None:
                progress("pictures", done, total)

        self.dataset = open_pictures(folder, self.recipe.data, stages[-1].size_px, progress=told, note=note)
        self.split = split_for_training(folder, self.dataset, self.recipe.data)
        batch = max(stage.batch for stage in stages)
        if len(self.split.train) < batch:
            raise DatasetError(
                f"{folder} leaves {len(self.split.train)} pictures to train on, fewer than one batch of {batch}. Add "
                "pictures, or lower the stage's batch."
            )

    def prepare(self, fabric: Fabric) -> None:
        """See `Task`."""
        self._fabric, self._device = fabric, fabric.device
        self.generator_ema.to(fabric.device)

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """See `Task`."""
        state = load_checkpoint(checkpoint, "recipe", "position")
        self._load(state["networks"])
        return ancestors_of(state)

    def state(self) -> dict[str, Any]:
        """See `Task`."""
        return {"networks": {name: getattr(self, name).state_dict() for name in NETWORKS}}

    def load(self, state: dict[str, Any]) -> None:
        """See `Task`."""
        self._load(state["networks"])
        self.position = Position.restored(state["position"])
        self.ancestors = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:  # noqa: ARG002  nothing to tell
        """See `Task`."""
        self._stage: DenseStage = self.recipe.stage[stage]
        self._generate = self._fabric.setup_module(self.generator)
        self._judge = self._fabric.setup_module(self.discriminator)
        self._adams = {
            "generator": self._adam(self.generator),
            "discriminator": self._adam(self.discriminator),
        }
        self._steps = {name: cast(Optimizer, self._fabric.setup_optimizers(adam)) for name, adam in self._adams.items()}
        if optimizers is not None:
            try:
                for name, adam in self._adams.items():
                    adam.load_state_dict(optimizers[name])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"The checkpoint's optimisers do not fit this stage: {error}. Use another."
                ) from error

    def batch(self, position: Position) -> tuple[Tensor, Tensor]:  # noqa: ARG002  torch's generator was seeded with it
        """Pictures [N, 3, S, S], -1..1, and latents [N, z_dim]."""
        count = self._stage.batch
        rows = self.split.train[torch.randint(len(self.split.train), (count,)).numpy()]
        return self.pictures(rows), torch.randn(count, self.recipe.model.z_dim).to(self._device)

    def step(self, batch: tuple[Tensor, Tensor], position: Position) -> dict[str, Tensor]:
        """See `Task`."""
        real, z = batch
        rate = learning_rate_at(self._stage, position.stage_images)
        for adam in self._adams.values():
            adam.param_groups[0]["lr"] = rate
        drawn = self._generate(z)

        self.discriminator.requires_grad_(True)
        judged_real, judged_drawn = self._judge(real), self._judge(drawn.detach())
        loss = cross_entropy(judged_real, real=True) + cross_entropy(judged_drawn, real=False)
        self._learn("discriminator", loss)

        self.discriminator.requires_grad_(False)
        fooled = cross_entropy(self._judge(drawn), real=True)
        self._learn("generator", fooled)

        shown = self._stage.batch * self._fabric.world_size
        update_average(
            self.generator_ema,
            self.generator,
            images=position.images + shown,
            batch=shown,
            half_life=self.recipe.ema_kimg * 1000,
        )
        return {
            "adversarial": fooled,
            "discriminator": loss,
            "taken_for_real": judged_real.sigmoid().mean(),
            "drawn_taken_for_real": judged_drawn.sigmoid().mean(),
            "learning_rate": torch.tensor(rate),
        }

    def optimizers(self) -> dict[str, Any]:
        """See `Task`."""
        return {name: adam.state_dict() for name, adam in self._adams.items()}

    @torch.no_grad()
    def check_sound(self) -> None:
        """See `Task`."""
        z = self.latents(range(1)).to(self._device)
        drawn = [generator(z) for generator in (self.generator, self.generator_ema)]
        if not all(torch.isfinite(found).all() for found in (*drawn, self.judge(drawn[0]))):
            raise TrainingError(
                "The run has diverged: the output of its networks is not finite. It was not saved; the last "
                f"checkpoint is as it was. Train again with a lower learning rate than {self._stage.lr:g}."
            )

    def leave(self, stage: int) -> None:
        """See `Task`."""

    def sheets(self, folder: Path, images: int) -> None:
        """See `Task`."""
        write_seeds(self, folder / f"{images // 1000:05d}-seeds.png")

    def evaluate(self, folder: Path, *, frames: int, at_px: int | None, note: Note) -> dict[str, Any]:
        """See `Task`."""
        return evaluate_dense(self, folder, frames=frames, at_px=at_px, note=note)

    def gallery(self, folder: Path, *, seed: int, truncation_psi: float) -> list[Path]:
        """See `Exporting`."""
        files = [folder / "seeds.png", folder / "walks.png"]
        write_seeds(self, files[0], seed=seed, psi=truncation_psi)
        write_walks(self, files[1], seed=seed, psi=truncation_psi)
        return files

    def compare(self, other: Task, sheet: Path) -> dict[str, Any]:
        """See `Exporting`. Two runs draw nothing in common, so figures and sheet are those of the other one."""
        if not isinstance(other, DenseTask):
            raise CheckpointError("The other run is of another task, which draws other pictures. Compare two of one.")
        write_seeds(other, sheet)
        return measured(other, frames=240, at_px=None)

    def export(
        self,
        out: Path,
        *,
        name: str,
        report: dict[str, Any],
        refine: bool,  # noqa: ARG002  nobody is fitted
        half: bool,  # noqa: ARG002  a few million multiplications cost nothing
        note: Note,
        people: Path | None = None,
        portrait: Path | None = None,
    ) -> Manifest:
        """See `Exporting`."""
        if people is not None or portrait is not None:
            raise RecipeError("A dense GAN draws pictures from seeds only. Leave --people and --portrait out.")
        return export_dense(self, out, name=name, report=report, note=note)

    def pictures(self, rows: Rows) -> Tensor:
        """Pictures of the folder, RGB [N, 3, S, S], -1..1."""
        return planar(self.dataset.pictures[rows][..., :3], self._device) * 2 - 1

    def latents(self, seeds: Iterable[int], *, psi: float = 1.0) -> Tensor:
        """Latents of seeds, float32 [N, z_dim], on the CPU; the same as `runtime.character.latents` draws."""
        z_dim = self.recipe.model.z_dim
        drawn = [np.random.Generator(np.random.Philox(seed)).standard_normal(z_dim, np.float32) for seed in seeds]
        return torch.from_numpy(np.stack(drawn)) * psi

    @torch.no_grad()
    def draw(self, z: Tensor) -> Tensor:
        """Draw pictures with the averaged network, RGB [N, 3, S, S], -1..1, on the device."""
        drawn: Tensor = self.generator_ema(z.to(self._device))
        return drawn

    @torch.no_grad()
    def judge(self, pictures: Tensor) -> Tensor:
        """Logits of the discriminator without dropout, [N]."""
        self.discriminator.eval()
        judged: Tensor = self.discriminator(pictures)
        self.discriminator.train()
        return judged

    def _adam(self, network: nn.Module) -> Adam:
        return Adam(network.parameters(), lr=self._stage.lr, betas=(self._stage.beta1, BETA2), fused=True)

    def _learn(self, name: str, loss: Tensor) -> None:
        """One step of one network.

        Raises:
            NotFinite: its loss or gradient is not finite; it is unchanged.
        """
        parameters = list(getattr(self, name).parameters())
        for parameter in parameters:
            parameter.grad = None
        self._fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        refuse_what_is_not_finite(self._fabric, self.recipe.precision, {f"loss of the {name}": loss}, norm)
        self._steps[name].step()

    def _load(self, weights: dict[str, Any]) -> None:
        try:
            for name in NETWORKS:
                getattr(self, name).load_state_dict(weights[name])
        except (RuntimeError, AttributeError, LookupError, TypeError) as error:
            raise CheckpointError(f"The checkpoint does not fit the recipe's networks: {error}") from error


def cross_entropy(logits: Tensor, *, real: bool) -> Tensor:
    """-log D for pictures that should be judged real, -log(1 - D) for those that should not."""
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real)).float())
