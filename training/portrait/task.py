"""The portrait generator as a task: from attributes of people to their references.

One step, for N people:

    w          = known(attributes) + noise
    references = portrait(w)
    loss       = moved(references, wanted) + whole * moved(over(layers), wanted picture)
    in adversarial stages, about a piece of references and picture:
    discriminator learns that the wanted ones are real and the drawn ones are not
    loss      += adversarial * it is mistaken + feature * |its features of both|

When the last stage ends, a prior is fitted to the attributes of the people, so that noise becomes a person.
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

from runtime.character.file import Character
from runtime.composite.references import LAYERS, REFERENCES
from training.adversary import Adversary
from training.animator.composite import over
from training.checkpoint import load_checkpoint
from training.data.attributes import attribute_table
from training.data.dataset import Dataset, Split, open_dataset, read_labels, split_for_training
from training.data.references import open_references
from training.discriminator import PatchDiscriminator
from training.errors import CheckpointError, TrainingError
from training.from_character import ancestors_in, weights_of
from training.latents.graphs import mapping_graph
from training.latents.people import KnownIdentities, Mapping, WholeAttributes
from training.latents.prior import fit_mapping
from training.layers import unit_size
from training.losses.adversarial import Shown
from training.losses.moved import MovedLoss
from training.optim.ema import update_average
from training.optim.muon import Muon
from training.optim.schedule import learning_rate_at
from training.pictures import planar
from training.portrait.evaluate import evaluate_portrait
from training.portrait.graphs import portrait_graph
from training.portrait.networks import Portrait, settled
from training.portrait.recipe import PortraitRecipe, PortraitStage
from training.portrait.sheets import draw_sheets
from training.settings import Stage
from training.task import Ancestor, Note, Position, Progress, ancestors_of, refuse_what_is_not_finite

NO_PRIOR = "This run has no people from seeds yet: its last stage has not ended. Go on with it: bunraku-train fit."
_MEMBERS = {"portrait": "portrait.", "mapping": ""}  # in a character, and the prefix of their weights
PRIOR_NOISE = 0.1  # on attributes, of variance 1
Who = np.ndarray[Any, np.dtype[np.int64]]


class PortraitTask:
    """One run of the portrait generator.

    Attributes:
        recipe: of the run.
        dataset: at the size of the last stage.
        split: training and held-out people.
        trained_on, held_out: numbers of the people in each.
        portrait: as it is being trained.
        portrait_ema: averaged.
        discriminator: distinguishes drawn pictures from ground truth, in adversarial stages.
        known: latents of the people of the data set.
        mapping: from noise to latents; None until the last stage has ended.
    """

    dataset: Dataset
    split: Split
    trained_on: Who
    held_out: Who
    portrait: Portrait
    portrait_ema: Portrait
    discriminator: PatchDiscriminator
    known: KnownIdentities
    mapping: Mapping | None

    def __init__(self, recipe: PortraitRecipe) -> None:
        """Start without data and networks."""
        self.recipe = recipe
        self.position = Position()
        self.ancestors: tuple[Ancestor, ...] = ()
        self.mapping = None
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

        size = stages[-1].size_px
        self.dataset = open_dataset(folder, size, workers=workers, progress=told(f"pictures at {size} px"), note=note)
        self._references = {
            stage.size_px: open_references(
                folder,
                stage.size_px,
                workers=workers,
                progress=told(f"references at {stage.size_px} px"),
                note=note,
            )
            for stage in stages
        }
        self.split = split_for_training(folder, self.dataset, self.recipe.data)
        self.held_out = np.unique(self.dataset.identity[self.split.unseen_identities])
        self.trained_on = np.setdiff1d(np.unique(self.dataset.identity), self.held_out)
        torch.manual_seed(self.recipe.seed)
        table = attribute_table(self.dataset.identities)
        self._choices = table.choices
        self.known = KnownIdentities(attributes=torch.from_numpy(table.values), w_dim=self.recipe.model.w_dim)
        self.portrait = Portrait(self.recipe.model)
        self.portrait_ema = copy.deepcopy(self.portrait).requires_grad_(False).eval()
        model = self.recipe.model
        self.discriminator = PatchDiscriminator(
            in_channels=4 * (len(REFERENCES) + 1), condition_dim=model.w_dim, channels=model.discriminator_channels
        )

    def look_at(self, folder: Path, *, note: Note) -> None:
        """Use the people of another data set, at its size, in place of the run's own; for evaluation, not for training.

        A person with the attributes of a training person counts as seen, everyone else as unseen.

        Args:
            folder: a data set with references.
            note: told where decoded pictures are, if not beside the data.

        Raises:
            DatasetError: it has no references.
        """
        own = self.dataset.identities
        known = {str(own[person].attributes) for person in self.trained_on}
        manifest, others, *_ = read_labels(folder)
        self.dataset = open_dataset(folder, manifest.size_px, note=note)
        self._references = {manifest.size_px: open_references(folder, manifest.size_px, note=note)}
        self.known.attributes = torch.from_numpy(attribute_table(own, of=others).values).to(self._device)
        seen = np.array([str(person.attributes) in known for person in others])
        self.trained_on, self.held_out = np.flatnonzero(seen), np.flatnonzero(~seen)

    def prepare(self, fabric: Fabric) -> None:
        """See `Task`."""
        self._fabric, self._device = fabric, fabric.device
        for network in (self.portrait_ema, self.known):
            network.to(fabric.device)

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """See `Task`."""
        state = load_checkpoint(checkpoint, "recipe", "position")
        networks = state["networks"]
        self._load({**networks, "portrait": networks.get("portrait_ema", {})})
        return ancestors_of(state)

    def begin_with(self, character: Character) -> tuple[Ancestor, ...]:
        """See `Beginning`."""
        portrait, mapping = (weights_of(character, f"{name}.onnx", of) for name, of in _MEMBERS.items())
        known = {f"out.{name}": mapping.get(f"whole.out.{name}") for name in ("weight", "bias")}
        self._load(
            {"portrait": portrait, "portrait_ema": portrait, "known": {**known, "attributes": self.known.attributes}}
        )
        return ancestors_in(character, "people_from_seeds")

    def state(self) -> dict[str, Any]:
        """See `Task`."""
        networks = {name: getattr(self, name).state_dict() for name in ("portrait", "portrait_ema", "known")}
        if any(stage.adversarial for stage in self.recipe.stage):
            networks["discriminator"] = self.discriminator.state_dict()
        if self.mapping is not None:
            networks["mapping"] = self.mapping.state_dict()
        return {"networks": networks}

    def load(self, state: dict[str, Any]) -> None:
        """See `Task`."""
        self._load(state["networks"])
        self.position = Position.restored(state["position"])
        self.ancestors = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:  # noqa: ARG002  nothing to tell
        """See `Task`."""
        self._stage: PortraitStage = self.recipe.stage[stage]
        fabric, settings = self._fabric, self._stage
        self.known.requires_grad_(False)
        for name, reference in zip(REFERENCES, self.portrait.references, strict=True):
            reference.requires_grad_(name in settings.references)
        matrices, memories, others = _parts(self.portrait)
        self._trained = [*matrices, *memories, *others]
        self._muon = Muon(matrices, lr=settings.lr * settings.muon)
        self._adam = Adam(
            [{"params": others, "factor": 1.0}, {"params": memories, "factor": settings.memories}],
            lr=settings.lr,
            betas=(settings.beta1, 0.99),
            fused=True,
        )
        self._draw = fabric.setup_module(self.portrait)
        self._adversary = None
        if settings.adversarial:
            roughness = self.recipe.loss.roughness
            self._adversary = Adversary(fabric, self.discriminator, self.recipe, settings, roughness=roughness)
        self._step_muon = cast(Optimizer, fabric.setup_optimizers(self._muon))
        self._step_adam = cast(Optimizer, fabric.setup_optimizers(self._adam))
        if optimizers is not None:
            try:
                self._muon.load_state_dict(optimizers["muon"])
                self._adam.load_state_dict(optimizers["adam"])
                if self._adversary is not None:
                    self._adversary.load_optimizer(optimizers["discriminator"])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"The checkpoint's optimisers do not fit this stage: {error}. Use another."
                ) from error

    def batch(self, position: Position) -> tuple[Tensor, Tensor]:
        """Latents [N, w_dim] and references [N, R, 4, S, S]."""
        stage = self._stage
        key = (self.recipe.seed, position.step, self._fabric.global_rank)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        people = rng.choice(self.trained_on, stage.batch, replace=False)
        noise = torch.randn(stage.batch, self.recipe.model.w_dim).to(self._device)
        with torch.no_grad():
            w = unit_size(self.known(torch.from_numpy(people).to(self._device)) + self.recipe.noise * noise)
        return w, planar(self._references[stage.size_px][people], self._device)

    def step(self, batch: tuple[Tensor, Tensor], position: Position) -> dict[str, Tensor]:
        """See `Task`."""
        stage, weights = self._stage, self.recipe.loss
        rate = learning_rate_at(stage, position.stage_images)
        for group in self._muon.param_groups:
            group["lr"] = rate * stage.muon
        for group in self._adam.param_groups:
            group["lr"] = rate * group["factor"]
        for parameter in self._trained:
            parameter.grad = None
        w, wanted = batch
        drawn = self._draw(w, stage.size_px)
        focus = focus_of(wanted, weights.features)
        compare = MovedLoss(weights.gradient, weights.coarse)
        loss, terms = compare(drawn.flatten(0, 1), wanted.flatten(0, 1), focus.flatten(0, 1))
        face = focus[:, LAYERS.index("head")]
        whole, _ = compare(over(drawn[:, : len(LAYERS)]), over(wanted[:, : len(LAYERS)]), face)
        loss = loss + weights.whole * whole
        values = dict(zip(("pixel", "gradient", "coarse"), terms, strict=True)) | {"whole": whole}
        if self._adversary is not None:
            real, fake = pieces(wanted, drawn.clamp(0, 1))
            judgement = self._adversary.judged(Shown(real, w), Shown(fake, w), step=position.step)
            loss = loss + weights.adversarial * judgement["adversarial"] + weights.feature * judgement["feature"]
            values |= judgement
        values["loss"] = loss
        self._fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(self._trained, self.recipe.clip_norm)
        refuse_what_is_not_finite(self._fabric, self.recipe.precision, values, norm)
        self._step_muon.step()
        self._step_adam.step()
        shown = stage.batch * self._fabric.world_size
        update_average(
            self.portrait_ema,
            self.portrait,
            images=position.images + shown,
            batch=shown,
            half_life=self.recipe.ema_kimg * 1000,
        )
        return {**values, "norm": norm, "learning_rate": torch.tensor(rate)}

    def optimizers(self) -> dict[str, Any]:
        """See `Task`."""
        state = {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}
        return state if self._adversary is None else {**state, "discriminator": self._adversary.optimizer()}

    @torch.no_grad()
    def check_sound(self) -> None:
        """See `Task`."""
        w = self.known(torch.from_numpy(self.trained_on[:1]).to(self._device))
        for portrait in (self.portrait, self.portrait_ema):
            if not torch.isfinite(portrait(w)).all():
                raise TrainingError(
                    "The run has diverged: the output of the portrait generator is not finite. It was not saved; "
                    f"the last checkpoint is as it was. Train again with a lower learning rate than {self._stage.lr:g}."
                )

    def leave(self, stage: int) -> None:
        """Fit the prior after the last stage."""
        if stage != len(self.recipe.stage) - 1 or self._fabric.global_rank:
            return
        known = copy.deepcopy(self.known).cpu()
        people = known.attributes[torch.from_numpy(self.trained_on)]
        whole = WholeAttributes(people, self._choices, known.out)
        self.mapping = fit_mapping(
            people, PRIOR_NOISE, steps=self.recipe.mapping_steps, seed=self.recipe.seed, whole=whole
        )

    def sheets(self, folder: Path, images: int) -> None:
        """See `Task`."""
        draw_sheets(self, folder, f"{images // 1000:05d}-")

    def evaluate(self, folder: Path, *, frames: int, at_px: int | None, note: Note) -> dict[str, Any]:
        """See `Task`."""
        return evaluate_portrait(self, folder, frames=frames, at_px=at_px, note=note)

    def wanted(self, people: Who) -> Tensor:
        """References of people of the data set, premultiplied, on the CPU: float32 [N, R, 4, S, S]."""
        return planar(self._references[self.dataset.size_px][people], self._device).cpu()

    def latents(self, people: Who) -> Tensor:
        """[N, w_dim]."""
        with torch.no_grad():
            latents: Tensor = self.known(torch.from_numpy(people).to(self._device))
        return latents

    def sampled(self, seeds: Iterable[int], *, psi: float) -> Tensor:
        """Latents of new people, one for each seed, [N, w_dim].

        Raises:
            CheckpointError: there is no prior yet.
        """
        if self.mapping is None:
            raise CheckpointError(NO_PRIOR)
        z = torch.stack(
            [torch.randn(self.mapping.z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        with torch.no_grad():
            latents: Tensor = self.mapping(z * psi)
        return latents

    @torch.no_grad()
    def draw(self, w: Tensor, *, size_px: int | None = None, at_once: int = 8) -> Tensor:
        """References from the averaged networks: premultiplied, on the CPU, float32 [N, R, 4, S, S], 0..1."""
        size = size_px or self.dataset.size_px
        parts = [self.portrait_ema(part.to(self._device), size).cpu() for part in torch.split(w, at_once)]
        return settled(torch.cat(parts))

    def drawn(self, w: Tensor, size_px: int) -> Tensor:
        """Like `draw`, but all at once and on the device, so that gradients reach the latents.

        Args:
            w: float32 [N, w_dim], mean square 1.
            size_px: side of the references.
        """
        return settled(self.portrait_ema(w.to(self._device), size_px))

    def graphs(self, size_px: int) -> dict[str, bytes]:
        """Members of a character file that draw people from seeds.

        Args:
            size_px: side of the references.

        Raises:
            CheckpointError: there is no prior yet.
        """
        if self.mapping is None:
            raise CheckpointError(NO_PRIOR)
        return {
            "portrait.onnx": portrait_graph(self.portrait_ema, self.recipe.model.w_dim, size_px),
            "mapping.onnx": mapping_graph(self.mapping),
        }

    def _load(self, weights: dict[str, Any]) -> None:
        try:
            for name in ("portrait", "portrait_ema", "known"):
                getattr(self, name).load_state_dict(weights[name])
            if "discriminator" in weights:
                self.discriminator.load_state_dict(weights["discriminator"])
            if "mapping" in weights:
                self.mapping = Mapping.shaped_as(weights["mapping"])
                self.mapping.load_state_dict(weights["mapping"])
                self.mapping.eval()
        except (RuntimeError, AttributeError, LookupError, TypeError) as error:
            raise CheckpointError(f"The checkpoint or character does not fit the recipe's networks: {error}") from error


def focus_of(wanted: Tensor, extra: float) -> Tensor:
    """Weights that emphasise where the head at rest differs from the one with closed eyes and open mouth.

    Args:
        wanted: references, [N, R, 4, S, S].
        extra: weight added there.

    Returns:
        [N, R, 1, S, S], 1 and, in the two heads and in their insides, more.
    """
    rest, opened = (wanted[:, REFERENCES.index(name)] for name in ("head", "open"))
    side = wanted.shape[-1] // 64 * 2 + 1
    near = F.max_pool2d(((rest - opened).abs().amax(1, keepdim=True) > 0.1).float(), side, stride=1, padding=side // 2)
    faces = torch.tensor([name in ("inner", "head", "open") for name in REFERENCES], device=wanted.device)
    return 1 + extra * near[:, None] * faces.view(1, -1, 1, 1, 1)


def pieces(wanted: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """A random crop of half the side, of references and of the composited layers, the same for both.

    Args:
        wanted: references, [N, R, 4, S, S], 0..1.
        drawn: the same.

    Returns:
        both, [N, 4 (R + 1), S / 2, S / 2].
    """
    side = wanted.shape[-1] // 2
    x, y = (8 * int(place) for place in torch.randint(side // 8 + 1, (2,)))  # whole cells of its last grid

    def piece(references: Tensor) -> Tensor:
        shown = references[..., y : y + side, x : x + side]
        return torch.cat([shown.flatten(1, 2), over(shown[:, : len(LAYERS)])], 1)

    return piece(wanted), piece(drawn)


def _parts(portrait: Portrait) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Trainable weights for Muon, memories, and the rest."""
    matrices: list[nn.Parameter] = []
    memories: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in portrait.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.endswith((".memories", ".warps")):
            memories.append(parameter)
        elif parameter.dim() in (2, 4) and ".shares." not in name and ".shading." not in name:
            matrices.append(parameter)
        else:
            others.append(parameter)
    return matrices, memories, others
