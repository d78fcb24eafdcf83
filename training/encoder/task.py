"""The encoder as a task: from a picture of a person, in any pose, to the portrait generator's latent.

One step, for N pictures:

    found  = encoder.attributes(pictures)
    loss   = AttributeLoss(found, attributes of who they show)

and afterwards w = known(found, every choice made). The people need not be those the portrait generator learnt
from: their attributes locate them in its space, and one picture each of many people teaches more than many each
of few.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from training.checkpoint import load_checkpoint
from training.data.attributes import attribute_table
from training.data.dataset import Dataset, Split, Uint8, open_dataset, read_labels, split_for_training
from training.encoder.network import Recogniser
from training.encoder.recipe import EncoderRecipe, EncoderStage
from training.errors import CheckpointError, DatasetError, TrainingError
from training.latents.people import KnownIdentities, WholeAttributes
from training.losses.attributes import AttributeLoss
from training.optim.ema import update_average
from training.optim.muon import Muon, matrices_and_others
from training.optim.schedule import learning_rate_at
from training.pictures import planar, unpremultiply
from training.settings import Stage
from training.sheets import write_sheet
from training.task import Ancestor, Note, Position, Progress, ancestors_of, refuse_what_is_not_finite

NOT_MATRICES = ("enter.", "out.layers.1.")  # layers that read pixels, and the head
Rows = np.ndarray[Any, np.dtype[np.int64]]


class EncoderTask:
    """One run of the encoder.

    Attributes:
        recipe: of the run.
        dataset: at the size of the last stage.
        split: training and held-out frames.
        encoder: as it is being trained.
        encoder_ema: averaged.
        known: attributes and latents of the people of the data set, as in the portrait generator.
    """

    dataset: Dataset
    split: Split
    encoder: Recogniser
    encoder_ema: Recogniser
    known: KnownIdentities

    def __init__(self, recipe: EncoderRecipe) -> None:
        """Start without data and networks."""
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

        def told(size: int) -> Any:
            return lambda done, total: progress(f"pictures at {size} px", done, total) if progress is not None else None

        self._datasets = {
            size: open_dataset(folder, size, workers=workers, progress=told(size), note=note)
            for size in {stage.size_px for stage in stages}
        }
        self.dataset = self._datasets[stages[-1].size_px]
        self.split = split_for_training(folder, self.dataset, self.recipe.data)

    def prepare(self, fabric: Fabric) -> None:
        """See `Task`. Networks are built by `begin_from` and `load`: how many attributes there are is not known yet."""
        self._fabric, self._device = fabric, fabric.device

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """Load the latents of a portrait generator, and its attributes of people."""
        state = load_checkpoint(checkpoint, "recipe", "position", "data_digest")
        recipe = msgspec.json.decode(state["recipe"], type=dict[str, Any])
        _, theirs, _, digest = read_labels(Path(recipe["data"]["path"]))
        if digest != state["data_digest"]:
            raise CheckpointError(
                f"{checkpoint} learnt from other data than is now in {recipe['data']['path']}. Its people say what "
                "attributes there are: put that data back, or name another run."
            )
        table = attribute_table(theirs, of=self.dataset.identities)
        people = torch.from_numpy(attribute_table(theirs).values)
        known = KnownIdentities(attributes=people, w_dim=self.recipe.model.w_dim)
        try:
            known.load_state_dict(state["networks"]["known"])
        except (RuntimeError, LookupError, TypeError, AttributeError):
            raise CheckpointError(
                f"{checkpoint} has no latents of {self.recipe.model.w_dim} numbers from attributes. Name a run of the "
                "task portrait, and give model.w_dim as it is there."
            ) from None
        known.attributes = torch.from_numpy(table.values)
        torch.manual_seed(self.recipe.seed)
        self._build(known, WholeAttributes(people, table.choices, copy.deepcopy(known.out)))
        return ancestors_of(state)

    def _build(self, known: KnownIdentities, whole: WholeAttributes) -> None:
        model = self.recipe.model
        self.known = known.requires_grad_(False).to(self._device)
        whole = whole.requires_grad_(False)
        self.encoder = Recogniser(whole, channels=model.channels, blocks=model.blocks)
        self.encoder_ema = copy.deepcopy(self.encoder).requires_grad_(False).eval().to(self._device)

    def state(self) -> dict[str, Any]:
        """See `Task`."""
        return {"networks": {name: getattr(self, name).state_dict() for name in ("encoder", "encoder_ema", "known")}}

    def load(self, state: dict[str, Any]) -> None:
        """See `Task`."""
        try:
            weights, w_dim = state["networks"], self.recipe.model.w_dim
            known = KnownIdentities(attributes=torch.zeros_like(weights["known"]["attributes"]), w_dim=w_dim)
            choices = weights["encoder"]["whole.choices"].tolist()
            nobody = torch.zeros(1, known.attributes.shape[1])
            self._build(known, WholeAttributes(nobody, choices, nn.Linear(nobody.shape[1], w_dim)))
            for name in ("encoder", "encoder_ema", "known"):
                getattr(self, name).load_state_dict(weights[name])
        except (RuntimeError, AttributeError, LookupError, TypeError) as error:
            raise CheckpointError(f"The checkpoint does not fit the recipe's networks: {error}") from error
        self.position = Position.restored(state["position"])
        self.ancestors = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:  # noqa: ARG002  nothing to tell
        """See `Task`."""
        self._stage: EncoderStage = self.recipe.stage[stage]
        matrices, others = matrices_and_others(NOT_MATRICES, self.encoder)
        self._trained = matrices + others
        self._muon = Muon(matrices, lr=self._stage.lr * self._stage.muon)
        self._adam = Adam(others, lr=self._stage.lr, betas=(self._stage.beta1, 0.99), fused=True)
        self._see = self._fabric.setup_module(self.encoder)
        self._see.mark_forward_method("attributes")
        self._step_muon = cast(Optimizer, self._fabric.setup_optimizers(self._muon))
        self._step_adam = cast(Optimizer, self._fabric.setup_optimizers(self._adam))
        people = self.known.attributes[np.unique(self.dataset.identity[self.split.train])]
        self._loss = AttributeLoss(people, self.encoder.whole.choices.tolist()).to(self._device)
        if optimizers is not None:
            try:
                self._muon.load_state_dict(optimizers["muon"])
                self._adam.load_state_dict(optimizers["adam"])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"The checkpoint's optimisers do not fit this stage: {error}. Use another."
                ) from error

    def batch(self, position: Position) -> tuple[Tensor, Tensor]:
        """Pictures [N, 4, S, S] and attributes [N, a]."""
        stage = self._stage
        key = (self.recipe.seed, position.step, self._fabric.global_rank)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        frames = rng.choice(self.split.train, stage.batch)
        people = torch.from_numpy(self.dataset.identity[frames]).long().to(self._device)
        return planar(self._datasets[stage.size_px].pictures[frames], self._device), self.known.attributes[people]

    def step(self, batch: tuple[Tensor, Tensor], position: Position) -> dict[str, Tensor]:
        """See `Task`."""
        pictures, wanted = batch
        rate = learning_rate_at(self._stage, position.stage_images)
        for optimizer, factor in ((self._muon, self._stage.muon), (self._adam, 1.0)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        for parameter in self._trained:
            parameter.grad = None
        values = self._loss(self._see.attributes(pictures), wanted)
        loss = torch.stack(list(values.values())).sum()
        self._fabric.backward(loss)
        values["loss"] = loss
        norm = nn.utils.clip_grad_norm_(self._trained, self.recipe.clip_norm)
        refuse_what_is_not_finite(self._fabric, self.recipe.precision, values, norm)
        self._step_muon.step()
        self._step_adam.step()
        shown = self._stage.batch * self._fabric.world_size
        update_average(
            self.encoder_ema,
            self.encoder,
            images=position.images + shown,
            batch=shown,
            half_life=self.recipe.ema_kimg * 1000,
        )
        return {**values, "norm": norm, "learning_rate": torch.tensor(rate)}

    def optimizers(self) -> dict[str, Any]:
        """See `Task`."""
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    @torch.no_grad()
    def check_sound(self) -> None:
        """See `Task`."""
        picture = planar(self.dataset.pictures[self.split.train[:1]], self._device)
        networks = (self.encoder, self.encoder_ema)
        if not all(torch.isfinite(network.attributes(picture)).all() for network in networks):
            raise TrainingError(
                "The run has diverged: the encoder gives numbers that are not finite. It was not saved; the last "
                f"checkpoint is as it was. Train again with a lower learning rate than {self._stage.lr:g}."
            )

    def leave(self, stage: int) -> None:
        """See `Task`."""

    def sheets(self, folder: Path, images: int) -> None:
        """See `Task`."""
        self._draw_sheet(folder / f"{images // 1000:05d}-nearest.png")

    def evaluate(
        self,
        folder: Path,
        *,
        frames: int,
        at_px: int | None,  # noqa: ARG002  nothing is drawn
        note: Note,
    ) -> dict[str, Any]:
        """See `Task`. A picture is right if no other latent is nearer than that of its person."""
        if not len(self.split.unseen_identities):
            raise DatasetError("No people were held out. Raise data.holdout_identities.")
        everybody = self.known(torch.arange(len(self.dataset.identities), device=self._device)).cpu()
        apart = float(torch.pdist(everybody[:: max(1, len(everybody) // 500)]).mean())
        report: dict[str, Any] = {"size_px": self.dataset.size_px}
        questions = {"unseen_people": self.split.unseen_identities, "seen_people": self.split.unseen_controls}
        for question, candidates in questions.items():
            if not len(candidates):
                continue
            note(question.replace("_", " "))
            chosen = candidates[np.linspace(0, len(candidates) - 1, min(frames, len(candidates))).astype(int)]
            found = self.encode(planar(self.dataset.pictures[chosen], self._device))
            nearest = torch.cdist(found, everybody).argmin(1).numpy()
            far = (found - self.latents(chosen).cpu()).norm(dim=1).mean()
            report[question] = {
                "pictures": len(chosen),
                "right": int((nearest == self.dataset.identity[chosen]).sum()),
                "of_people": len(everybody),
                "distance": round(float(far) / apart, 4),
            }
        note("sheets")
        self._draw_sheet(folder / "nearest.png")
        return report

    def latents(self, frames: Rows) -> Tensor:
        """Of the people in frames of the data set, [N, w_dim]."""
        latents: Tensor = self.known(torch.from_numpy(self.dataset.identity[frames]).long().to(self._device))
        return latents

    @torch.no_grad()
    def encode(self, pictures: Tensor, *, at_once: int = 64) -> Tensor:
        """Predict the person, with the averaged network.

        Args:
            pictures: premultiplied, float32 [N, 4, S, S], 0..1.
            at_once: batch size.

        Returns:
            float32 [N, w_dim] on the CPU, mean square 1.
        """
        return torch.cat([self.encoder_ema(part.to(self._device)).cpu() for part in torch.split(pictures, at_once)])

    def _draw_sheet(self, path: Path) -> None:
        """Pictures of held-out people, each above one of the training person with the nearest latent."""
        held, trained = self.split.unseen_identities, self.split.train
        shown = held[np.linspace(0, len(held) - 1, min(12, len(held))).astype(int)]
        found = self.encode(planar(self.dataset.pictures[shown], self._device))
        nearest = trained[torch.cdist(found, self.latents(trained).cpu()).argmin(1).numpy()]
        pictures: Uint8 = np.concatenate([self.dataset.pictures[shown], self.dataset.pictures[nearest]])
        write_sheet(path, unpremultiply(pictures), columns=len(shown), row_labels=("shown", "nearest"))
