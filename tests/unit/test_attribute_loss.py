"""Loss of predicted attributes."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.attributes import AttributeLoss

PEOPLE = torch.tensor([[1.0, 0, 0, -2], [0, 1, 0, 0], [0, 0, 1, 2]])  # a choice of three words, and a number


def test_the_right_word_and_number_cost_nothing() -> None:
    loss = AttributeLoss(PEOPLE, [(0, 3)])
    found = torch.cat([PEOPLE[:, :3] * 100, PEOPLE[:, 3:]], 1)
    terms = loss(found, PEOPLE)
    assert float(terms["words"]) == pytest.approx(0, abs=1e-6)
    assert float(terms["numbers"]) == pytest.approx(0, abs=1e-6)


def test_words_are_told_apart_and_numbers_counted_in_deviations() -> None:
    loss = AttributeLoss(PEOPLE, [(0, 3)])
    found = torch.zeros(3, 4)
    terms = loss(found, PEOPLE)
    assert float(terms["words"]) == pytest.approx(math.log(3), abs=1e-5)
    assert float(terms["numbers"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("choices", "there"), [([(0, 4)], "words"), ([], "numbers")])
def test_people_may_have_words_or_numbers_alone(choices: list[tuple[int, int]], there: str) -> None:
    assert list(AttributeLoss(PEOPLE, choices)(torch.zeros(3, 4), PEOPLE)) == [there]
