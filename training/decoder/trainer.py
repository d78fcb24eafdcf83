"""One stage's steps: optimisers, losses, and network inputs.

Every random number of a step comes from torch's generator, which the loop seeds before each step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from training.adversary import Adversary
from training.data.attributes import attribute_table
from training.data.dataset import Dataset
from training.decoder.latents import encode_identities, latents_of
from training.decoder.networks import THUMBNAIL_PX
from training.decoder.recipe import DecoderRecipe, DecoderStage, Distil, taught
from training.decoder.state import Networks
from training.decoder.teacher import Teacher
from training.errors import CheckpointError, TrainingError
from training.latents.people import Mapping, WholeAttributes
from training.latents.prior import fit_mapping
from training.losses import terms as losses
from training.losses.adversarial import Shown
from training.losses.reconstruction import reconstruction_loss
from training.optim.ema import update_average
from training.optim.muon import Muon
from training.optim.schedule import learning_rate_at
from training.task import Note, Position, refuse_what_is_not_finite

LATENT_NOISE = 0.1  # added to latents in training, so that nearby latents look alike
ATTRIBUTE_NOISE = 0.05  # the same for attributes, in the prior's fit; words are 0 or 1, numbers have variance 1
MUON_LR_FACTOR = 20.0  # of the recipe's learning rate, which is Adam's; the two have different scales
MUON_LARGEST = 4096  # a matrix this long costs more to orthogonalise than the whole step


@dataclass
class Batch:
    """Pictures of one step.

    Attributes:
        target: float32 [N, 4, S, S], premultiplied RGBA.
        identity: int64 [N].
        controls: float32 [N, c].
        regions: float32 [N, 3, 4].
    """

    target: Tensor
    identity: Tensor
    controls: Tensor
    regions: Tensor

    def take(self, rows: slice) -> Batch:
        """A subset."""
        return Batch(self.target[rows], self.identity[rows], self.controls[rows], self.regions[rows])


class StageTrainer:
    """One stage's networks, optimisers and losses."""

    def __init__(
        self,
        fabric: Fabric,
        recipe: DecoderRecipe,
        stage: DecoderStage,
        networks: Networks,
        dataset: Dataset,
        frames: np.ndarray[Any, Any],
        *,
        teacher: Teacher | None = None,
    ) -> None:
        self._teacher = teacher
        self.fabric, self.recipe, self.stage, self.networks = fabric, recipe, stage, networks
        self.dataset, self.frames = dataset, frames
        networks.encoder.requires_grad_(not stage.adversarial)
        modules: list[nn.Module] = [networks.generator]
        if not stage.adversarial:
            modules += [networks.encoder, networks.thumbnail]
        if stage.attributes and not stage.adversarial and networks.known is not None:
            modules.append(networks.known)
        matrices, others = _matrices_and_others(modules)
        self._trained = matrices + others
        self._muon = Muon(matrices, lr=stage.lr * MUON_LR_FACTOR)
        self._adam = Adam(others, lr=stage.lr, betas=(stage.beta1, 0.99), fused=True)
        self._generator = fabric.setup_module(networks.generator)
        self._encoder = fabric.setup_module(networks.encoder) if not stage.adversarial else networks.encoder_ema
        roughness = recipe.loss.roughness
        self._adversary = Adversary(fabric, networks.discriminator, recipe, stage, roughness=roughness)
        self._thumbnail = fabric.setup_module(networks.thumbnail)
        self._step_muon = cast(Optimizer, fabric.setup_optimizers(self._muon))
        self._step_adam = cast(Optimizer, fabric.setup_optimizers(self._adam))
        networks.generator_ema.to(fabric.device)
        networks.encoder_ema.to(fabric.device)
        if networks.known is not None and networks.known_ema is not None:
            self._known = fabric.setup_module(networks.known)
            networks.known_ema.to(fabric.device)
        if networks.mapping is not None:
            networks.mapping.to(fabric.device)

    def optimizers(self) -> dict[str, Any]:
        """State of all optimisers."""
        inner = {"muon": self._muon, "adam": self._adam}
        states = {name: optimizer.state_dict() for name, optimizer in inner.items()}
        return {**states, "adam_d": self._adversary.optimizer()}

    def load_optimizers(self, state: dict[str, Any]) -> None:
        """Load what `optimizers` returned.

        Raises:
            CheckpointError: it belongs to other optimisers.
        """
        try:
            self._muon.load_state_dict(state["muon"])
            self._adam.load_state_dict(state["adam"])
            self._adversary.load_optimizer(state["adam_d"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"The checkpoint's optimisers do not fit this stage: {error}. Use another."
            ) from error

    def enter(self, note: Note) -> None:
        """One-time work at the start of a stage."""
        if not self.stage.adversarial:
            return
        # Frozen from here on: the latents must not move while the prior and the discriminator depend on them.
        self.networks.encoder.load_state_dict(self.networks.encoder_ema.state_dict())
        self.networks.generator.load_state_dict(self.networks.generator_ema.state_dict())
        note("fitting the latent prior")
        self.networks.mapping = self.fit_prior()

    def fit_prior(self) -> Mapping:
        """Fit the mapping to the attributes or, without them, the latents, of all training people."""
        people, known = np.unique(self.dataset.identity[self.frames]), self.networks.known_ema
        steps, seed = self.recipe.mapping_steps, self.recipe.seed
        if known is None:
            latents = latents_of(self.networks, self.dataset, self.frames, people, per_identity=8)
            mapping = fit_mapping(latents, LATENT_NOISE, steps=steps, seed=seed)
        else:
            table = attribute_table(self.dataset.identities)
            attributes = torch.from_numpy(table.values[people])
            whole = WholeAttributes(attributes, table.choices, copy.deepcopy(known.out).cpu())
            mapping = fit_mapping(attributes, ATTRIBUTE_NOISE, steps=steps, seed=seed, whole=whole)
        return mapping.to(self.fabric.device)

    def batch(self, indices: np.ndarray[Any, Any]) -> Batch:
        """Read pictures and labels."""
        device = self.fabric.device
        pictures = torch.from_numpy(self.dataset.pictures[indices])
        # [N, S, S, 4] -> channels_last [N, 4, S, S], without a copy.
        target = pictures.to(device).permute(0, 3, 1, 2).float().div_(255)
        identity = torch.from_numpy(self.dataset.identity[indices]).long().to(device)
        controls = torch.from_numpy(self.dataset.controls[indices]).to(device)
        return Batch(target, identity, controls, torch.from_numpy(self.dataset.regions[indices]).to(device))

    @torch.no_grad()
    def check_sound(self) -> None:
        """Test-draw with the current weights: some are finite and yet too large to give a picture.

        Raises:
            TrainingError: the output is not a picture. These weights must not be saved.
        """
        networks, rows = self.networks, self.frames[:2]
        batch = self.batch(rows)
        some = torch.ones(len(rows), networks.generator.w_dim, device=self.fabric.device)
        with self.fabric.autocast():
            for name in ("generator", "generator_ema"):
                network = getattr(networks, name)
                self._require_finite(name, network(some, batch.controls, self.stage.size_px))
            for name in ("encoder", "encoder_ema"):
                self._require_finite(name, getattr(networks, name).to(self.fabric.device)(batch.target))

    def _require_finite(self, name: str, result: Tensor) -> None:
        if not torch.isfinite(result).all():
            raise TrainingError(
                f"The run has diverged: the output of its {name} is not finite. It was not saved; the last "
                f"checkpoint is as it was. Train again with a lower learning rate than {self.stage.lr:g}, for example "
                "from that checkpoint in another folder: --set start.checkpoint=…"
            )

    def step(self, batch: Batch, position: Position) -> dict[str, Tensor]:
        """One step of every optimiser that this stage has.

        Raises:
            NotFinite: a loss or a gradient is not finite; the step was not taken.
        """
        learning_rate = learning_rate_at(self.stage, position.stage_images)
        for optimizer, factor in ((self._muon, MUON_LR_FACTOR), (self._adam, 1.0)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * factor
        values = self._adversarial_step(batch, position) if self.stage.adversarial else self._reconstruction_step(batch)
        norm = nn.utils.clip_grad_norm_(self._trained, self.recipe.clip_norm)
        refuse_what_is_not_finite(self.fabric, self.recipe.precision, values, norm)
        self._step_muon.step()
        self._step_adam.step()
        networks, shown = self.networks, self.stage.batch * self.fabric.world_size
        images, half_life = position.images + shown, self.recipe.ema_kimg * 1000
        update_average(networks.generator_ema, networks.generator, images=images, batch=shown, half_life=half_life)
        if not self.stage.adversarial:
            update_average(networks.encoder_ema, networks.encoder, images=images, batch=shown, half_life=half_life)
            if networks.known is not None and networks.known_ema is not None:
                update_average(networks.known_ema, networks.known, images=images, batch=shown, half_life=half_life)
        return {**values, "learning_rate": torch.tensor(learning_rate)}

    def _reconstruction_step(self, batch: Batch) -> dict[str, Tensor]:
        """Draw every picture from the latent of its person and its controls."""
        self._forget_gradients()
        if self._teacher is not None:
            return self._distillation_step(batch, self._teacher, self.recipe.teaching)
        latent, guides = self._known_latents(batch) if self.stage.attributes else self._latents_of_partners(batch)
        straight = self._generator(latent, batch.controls, self.stage.size_px).float()
        loss, terms = self._reconstruction_loss(straight, batch)
        loss = loss + _weighted(guides, self.recipe.loss)
        self.fabric.backward(loss)
        return {**terms, **guides, "loss": loss}

    def _distillation_step(self, batch: Batch, teacher: Teacher, distil: Distil) -> dict[str, Tensor]:
        """The same, with a share of the batch drawn by the teacher: new people, in the poses of that share."""
        count, size = taught(distil, self.stage), self.stage.size_px
        shown, poses = batch.take(slice(0, -count)), batch.take(slice(-count, None))
        latent, guides = self._known_latents(shown) if self.stage.attributes else self._latents_of_partners(shown)
        made_up = teacher.people(latent.detach(), count)
        with self.fabric.autocast():
            lesson = replace(poses, target=teacher.draw(made_up, poses.controls, size))
        straight = self._generator(torch.cat([latent, made_up]), torch.cat([shown.controls, poses.controls]), size)
        own, terms = self._reconstruction_loss(straight[:-count].float(), shown)
        learnt, _ = self._reconstruction_loss(straight[-count:].float(), lesson)
        share = count / len(batch.target)
        loss = own * (1 - share) + learnt * (share * distil.weight) + _weighted(guides, self.recipe.loss)
        self.fabric.backward(loss)
        return {**terms, **guides, "taught": learnt, "loss": loss}

    def _latents_of_partners(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The encoder's view of the pair's other picture: pose information must come from the controls."""
        encoded = self._encoder(batch.target).float()
        latent = _partner(encoded + torch.randn_like(encoded) * LATENT_NOISE)
        small = F.adaptive_avg_pool2d(batch.target, THUMBNAIL_PX)
        guides = {
            "consistency": losses.consistency_loss(encoded),
            "thumbnail": (self._thumbnail(latent).float() - small).abs().mean(),
        }
        return latent, guides

    def _known_latents(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The attributes' latents, and for some rows the encoder's output for the pair's other picture.

        The encoder learns to match the attributes' latents; the generator need not wait until it does.
        """
        known = self._known(batch.identity).float()
        seen = len(known) // 4 * 2
        encoded = self._encoder(batch.target[:seen]).float()
        drawn = seen // 4 * 2
        latent = torch.cat([_partner(encoded[:drawn]), known[drawn:]])
        latent = latent + torch.randn_like(latent) * LATENT_NOISE
        return latent, {"encoding": (encoded - known[:seen].detach()).square().mean()}

    def _reconstruction_loss(self, straight: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss and, for logging, its terms."""
        weights, (eyes, mouth) = self.recipe.loss, self.recipe.emphasis(self.stage)
        pixel_weight = losses.region_weights(batch.regions, self.stage.size_px, eyes, mouth)
        loss, terms = reconstruction_loss(
            straight, batch.target, pixel_weight, gradient=weights.gradient, bleed=weights.bleed
        )
        return loss, dict(zip(("pixel", "gradient", "bleed"), terms, strict=True))

    def _adversarial_step(self, batch: Batch, position: Position) -> dict[str, Tensor]:
        """Reconstruct as before, draw new people, and have both judged against real pictures."""
        size, half = self.stage.size_px, len(batch.target) // 2
        with torch.no_grad(), self.fabric.autocast():
            known = self.networks.known_ema
            latent = known(batch.identity) if known else _partner(self.networks.encoder_ema(batch.target))
            latent = latent.float()
            sampled = self._sample_latents(latent, half)
        controls = torch.cat([batch.controls, batch.controls[:half]])
        straight = self._generator(torch.cat([latent, sampled]), controls, size).float()
        real = Shown(batch.target, batch.controls)
        fake = Shown(losses.premultiply(straight), controls)

        self._forget_gradients()
        judgement = self._adversary.judged(real, fake, step=position.step)
        loss, terms = self._reconstruction_loss(straight[: len(batch.target)], batch)
        weighed = {name: judgement[name] for name in ("adversarial", "feature")}
        loss = loss + _weighted(weighed, self.recipe.loss)
        self.fabric.backward(loss)
        return {**terms, **judgement, "loss": loss}

    def _forget_gradients(self) -> None:
        for parameter in self._trained:
            parameter.grad = None

    def _sample_latents(self, latent: Tensor, count: int) -> Tensor:
        """Half from the prior, half between two people of the batch: [count, w_dim]."""
        assert self.networks.mapping is not None
        from_prior = self.networks.mapping(torch.randn(count // 2, self.networks.mapping.z_dim, device=latent.device))
        others = latent[torch.randperm(len(latent), device=latent.device)[: count - count // 2]]
        between = torch.lerp(latent[: len(others)], others, torch.rand(len(others), 1, device=latent.device))
        return torch.cat([from_prior, between])


def _weighted(terms: dict[str, Tensor], weights: Any) -> Tensor:
    return torch.stack([term * getattr(weights, name, 1.0) for name, term in terms.items()]).sum()


def _partner(latent: Tensor) -> Tensor:
    """Swap the two rows of every pair."""
    return latent.view(-1, 2, latent.shape[1]).flip(1).reshape(latent.shape)


def _matrices_and_others(modules: Iterable[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Hidden weight matrices, for Muon, and the rest: biases, heads, and layers too large to orthogonalise."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            hidden = parameter.dim() in (2, 4) and not name.startswith(("heads.", "const", "out."))
            (matrices if hidden and max(parameter.flatten(1).shape) < MUON_LARGEST else others).append(parameter)
    return matrices, others


def begin_with_attributes(
    networks: Networks, dataset: Dataset, frames: np.ndarray[Any, Any], device: torch.device
) -> None:
    """Latents from attributes start at the encoder's, so that the generator continues undisturbed."""
    known = networks.add_known(torch.from_numpy(attribute_table(dataset.identities).values))
    people = np.unique(dataset.identity[frames])
    latents = encode_identities(networks.encoder_ema.to(device), dataset, frames, people, per_identity=2)
    known.imitate(torch.from_numpy(people).long(), latents)
    assert networks.known_ema is not None
    networks.known_ema.load_state_dict(known.state_dict())
