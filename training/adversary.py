"""A discriminator, trained beside a generator."""

from __future__ import annotations

from typing import Any, cast

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from training.discriminator import PatchDiscriminator
from training.losses.adversarial import Shown, discriminator_loss, generator_terms
from training.settings import AdversarialStage, Recipe
from training.task import refuse_what_is_not_finite


class Adversary:
    """The discriminator of one stage, with its optimiser."""

    def __init__(
        self,
        fabric: Fabric,
        discriminator: PatchDiscriminator,
        recipe: Recipe,
        stage: AdversarialStage,
        *,
        roughness: float,
    ) -> None:
        """Start a stage.

        Args:
            fabric: of the run.
            discriminator: the network.
            recipe: of the run.
            stage: provides the learning rate.
            roughness: weight of R1 and R2, see `discriminator_loss`.
        """
        self._fabric, self._network, self._precision = fabric, discriminator, recipe.precision
        self._roughness = roughness
        self._discriminator = fabric.setup_module(discriminator)
        self._adam = Adam(discriminator.parameters(), lr=stage.discriminator_lr, betas=(0.0, 0.99), fused=True)
        self._step = cast(Optimizer, fabric.setup_optimizers(self._adam))

    def judged(self, real: Shown, fake: Shown, *, step: int) -> dict[str, Tensor]:
        """Train on both, then judge.

        Args:
            real: pictures from the data.
            fake: generated counterparts, with a gradient.
            step: of the run.

        Returns:
            terms of both losses; `adversarial` and `feature` have a gradient.

        Raises:
            NotFinite: the discriminator's loss or gradient is not finite; its weights are unchanged.
        """
        self._network.requires_grad_(True)
        self._adam.zero_grad(set_to_none=True)
        loss, values = discriminator_loss(self._discriminator, real, fake, roughness=self._roughness, step=step)
        self._fabric.backward(loss)
        gradients = [parameter.grad for parameter in self._network.parameters() if parameter.grad is not None]
        refuse_what_is_not_finite(self._fabric, self._precision, values, nn.utils.get_total_norm(gradients))
        self._step.step()
        self._network.requires_grad_(False)
        return {**values, **generator_terms(self._discriminator, real, fake)}

    def optimizer(self) -> dict[str, Any]:
        """State of the optimiser."""
        return self._adam.state_dict()

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Load what `optimizer` returned; raises torch's errors if it does not fit."""
        self._adam.load_state_dict(state)
