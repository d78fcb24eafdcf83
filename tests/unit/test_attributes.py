"""Attributes of people become numbers that distinguish them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.data.attributes import attribute_table
from training.data.dataset import IdentityRow
from training.errors import DatasetError
from training.latents.people import KnownIdentities


def _rows(*attributes: dict[str, object]) -> list[IdentityRow]:
    return [IdentityRow(number, None, given) for number, given in enumerate(attributes)]


def test_every_kind_of_attribute_becomes_columns() -> None:
    table = attribute_table(
        _rows(
            {"height": 1.0, "hair": "#ff0000", "style": "bob", "wears": ["ribbon", "glasses"], "skin": [0.1, 0.9]},
            {"height": 3.0, "hair": "#0000ff", "style": "long", "wears": [], "skin": [0.3, 0.9]},
        )
    )
    # In order of name: hair (green is equal for both and left out), height, skin, style, wears.
    assert table.values.tolist() == [[1, -1, -1, -1, 1, 0, 1, 1], [-1, 1, 1, 1, 0, 1, 0, 0]]
    assert table.choices == ((4, 6),)


def test_a_missing_attribute_is_nought_and_not_an_error() -> None:
    table = attribute_table(_rows({"height": 1.0, "hair": "#ffffff"}, {"height": 3.0}, {"hair": "#000000"}))
    assert table.values.tolist() == [[1, 1, 1, -1], [0, 0, 0, 1], [-1, -1, -1, 0]]


def test_names_and_notes_are_not_attributes() -> None:
    rows = _rows(*({"note": f"person {n}", "tall": n % 2 == 0} for n in range(100)))
    assert attribute_table(rows).values.shape == (100, 1)


@pytest.mark.parametrize("attributes", [{}, {"outfit": "hoodie"}])
def test_attributes_that_do_not_distinguish_people_are_refused(attributes: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="does not distinguish people"):
        attribute_table(_rows(attributes, attributes))


def test_known_identities_begin_as_the_best_linear_imitation() -> None:
    generator = torch.Generator().manual_seed(0)
    attributes = torch.randn(200, 5, generator=generator)
    latents = attributes @ torch.randn(5, 8, generator=generator) + torch.randn(8, generator=generator)
    known = KnownIdentities(attributes=attributes, w_dim=8)
    people = torch.arange(0, 200, 2)
    known.imitate(people, latents[people])
    found = known(torch.tensor([1, 3, 5]))
    expected = latents[[1, 3, 5]]
    assert torch.allclose(found, expected / expected.square().mean(1, keepdim=True).sqrt(), atol=1e-3)
    assert np.allclose(found.square().mean(1).detach(), 1, atol=1e-3)


@pytest.mark.parametrize("number", [1e308, 10**400, 1.7e308], ids=["large", "integer", "largest"])
def test_numbers_that_overflow_are_refused_with_their_name(number: float) -> None:
    with pytest.raises(DatasetError, match="height has numbers too large"):
        attribute_table(_rows({"height": number}, {"height": -number}, {"height": 1.0}))


def test_newcomers_are_put_in_the_columns_of_those_who_were_there() -> None:
    def row(number: int, **attributes: object) -> IdentityRow:
        return IdentityRow(number, attributes=dict(attributes))

    there = [row(0, age=1, hair="#ff0000", style="bob"), row(1, age=3, hair="#00ff00", style="long")]
    table = attribute_table(there, of=[row(0, age=5, hair="#ff0000", style="bun"), there[1], row(2, age="old")])
    assert table.choices == attribute_table(there).choices
    assert np.array_equal(table.values[1], attribute_table(there).values[1])
    assert table.values[0, 0] == 3  # of mean 2 and deviation 1
    assert np.array_equal(table.values[2], [0] * table.values.shape[1])  # nothing is known
    assert np.isfinite(table.values).all()
