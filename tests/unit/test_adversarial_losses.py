"""Losses of two competing networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.discriminator import PatchDiscriminator
from training.losses.adversarial import ROUGHNESS_EVERY, Shown, discriminator_loss, generator_terms, relativistic

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def discriminator() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(in_channels=4, condition_dim=2, channels=(8, 16))


def stripes(count: int) -> Tensor:
    """Sharp ones."""
    return torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(8).expand(count, 4, 32, 32).contiguous()


def blurred(count: int) -> Tensor:
    return torch.nn.functional.avg_pool2d(stripes(count), (1, 3), 1, (0, 1))


def test_a_pair_that_is_equal_costs_the_logarithm_of_two() -> None:
    assert float(relativistic(torch.ones(3), torch.ones(3))) == pytest.approx(math.log(2))
    assert relativistic(torch.tensor(3.0), torch.tensor(-3.0)) < 0.01


def test_the_discriminator_learns_what_is_sharp_and_the_generator_is_told(discriminator: PatchDiscriminator) -> None:
    told = torch.zeros(4, 2)
    real = Shown(stripes(4), told)
    adam = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    for step in range(30):
        adam.zero_grad()
        loss, terms = discriminator_loss(
            discriminator, Shown(stripes(4), told), Shown(blurred(4), told), roughness=0.01, step=step
        )
        assert ("roughness" in terms) == (step % ROUGHNESS_EVERY == 0)
        loss.backward()
        adam.step()
    assert terms["discriminator"] < 0.2
    drawn = blurred(4).requires_grad_()
    told_off = generator_terms(discriminator, real, Shown(drawn, told))
    assert told_off["adversarial"] > 2
    told_off["adversarial"].backward()
    better = (drawn - 0.1 * drawn.grad / drawn.grad.abs().max()).detach()  # type: ignore[union-attr, operator]
    assert (
        generator_terms(discriminator, Shown(stripes(4), told), Shown(better, told))["adversarial"]
        < told_off["adversarial"]
    )


def test_what_was_drawn_does_not_learn_from_the_discriminators_loss(discriminator: PatchDiscriminator) -> None:
    drawn, told = blurred(3).requires_grad_(), torch.zeros(3, 2)
    loss, _ = discriminator_loss(discriminator, Shown(stripes(2), told[:2]), Shown(drawn, told), roughness=1.0, step=0)
    loss.backward()
    assert drawn.grad is None
    assert all(parameter.grad is not None for parameter in discriminator.layers.parameters())


def test_features_are_compared_with_those_of_the_same_people(discriminator: PatchDiscriminator) -> None:
    told = torch.zeros(3, 2)
    real, more = Shown(stripes(2), told[:2]), Shown(torch.cat([stripes(2), blurred(1)]), told)
    assert generator_terms(discriminator, real, more)["feature"] == 0
    assert generator_terms(discriminator, real, Shown(blurred(2), told[:2]))["feature"] > 0


def test_a_smooth_discriminator_is_not_rough() -> None:
    def flat(pictures: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        return torch.zeros(len(pictures), 1, 4, 4), []

    told = torch.zeros(2, 2)
    _, terms = discriminator_loss(flat, Shown(stripes(2), told), Shown(blurred(2), told), roughness=1.0, step=0)
    assert terms["roughness"] == 0
