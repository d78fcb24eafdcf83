"""A network that judges, as it learns beside one that draws. Knows losses and optimisers, no data."""

from __future__ import annotations

from typing import Any, cast

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from training.judge import PatchJudge
from training.losses.adversarial import Shown, artist_terms, judge_loss
from training.task import refuse_what_is_not_finite


class Adversary:
    """The judge of one stage, with its optimiser."""

    def __init__(self, fabric: Fabric, judge: PatchJudge, *, lr: float, roughness: float, precision: str) -> None:
        """Begin a stage.

        Args:
            fabric: of the run.
            judge: the network.
            lr: its learning rate.
            roughness: weight of R1 and R2, see `judge_loss`.
            precision: of the recipe.
        """
        self._fabric, self._network, self._roughness, self._precision = fabric, judge, roughness, precision
        self._judge = fabric.setup_module(judge)
        self._adam = Adam(judge.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
        self._step = cast(Optimizer, fabric.setup_optimizers(self._adam))

    def judged(self, real: Shown, fake: Shown, *, step: int) -> dict[str, Tensor]:
        """Learn from both, then judge.

        Args:
            real: pictures of the data.
            fake: what was drawn of the same, with a gradient.
            step: of the run.

        Returns:
            terms of both losses; `adversarial` and `feature` have a gradient.

        Raises:
            NotFinite: the judge's loss or gradient is not finite; nothing was learnt.
        """
        self._network.requires_grad_(True)
        self._adam.zero_grad(set_to_none=True)
        loss, values = judge_loss(self._judge, real, fake, roughness=self._roughness, step=step)
        self._fabric.backward(loss)
        gradients = [parameter.grad for parameter in self._network.parameters() if parameter.grad is not None]
        refuse_what_is_not_finite(self._fabric, self._precision, values, nn.utils.get_total_norm(gradients))
        self._step.step()
        self._network.requires_grad_(False)
        return {**values, **artist_terms(self._judge, real, fake)}

    def optimizer(self) -> dict[str, Any]:
        """State of the optimiser."""
        return self._adam.state_dict()

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Take what `optimizer` gave; raises what torch does where it does not fit."""
        self._adam.load_state_dict(state)
