"""Provenance and controls of every exported character."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from engine_bridge.errors import CharacterError
from runtime.character.controls import VOCABULARY, Control
from runtime.character.manifest import ControlRange
from training.data.dataset import Dataset
from training.settings import Recipe
from training.task import Ancestor


def provenance_of(
    recipe: Recipe, dataset: Dataset, *, images: int, seconds: float, ancestors: Sequence[Ancestor]
) -> dict[str, Any]:
    """Build the manifest's `provenance`.

    Args:
        recipe: of the run.
        dataset: training data.
        images: pictures shown.
        seconds: training time.
        ancestors: runs whose weights it started from.
    """
    return {
        # Paths on the trainer's disk are private.
        "recipe": {**msgspec.to_builtins(recipe), "data": Path(recipe.data.path).name, "start": None},
        "data": {
            "name": dataset.manifest.name,
            "licence": dataset.manifest.licence,
            "source": dataset.manifest.source,
        },
        "began_with": msgspec.to_builtins(tuple(ancestors)),
        "kimg": round(images / 1000, 1),
        "training_minutes": round(seconds / 60, 1),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "torch": str(torch.__version__),
    }


def runtime_controls(dataset: Dataset) -> list[Control]:
    """The data set's controls with the vocabulary's headings.

    Raises:
        CharacterError: one of them is unknown to the runtime.
    """
    for control in dataset.manifest.controls:
        if control.name not in VOCABULARY:
            raise CharacterError(
                f"The data set has a control {control.name}, which the runtime does not know. "
                "Map it to a name that docs/controls.md lists."
            )
    return [Control(c.name, c.minimum, c.maximum, c.rest, VOCABULARY[c.name].group) for c in dataset.manifest.controls]


def ranges_of(controls: Sequence[Control]) -> list[ControlRange]:
    """The same as the manifest lists them."""
    return [ControlRange(c.name, c.minimum, c.maximum, c.rest) for c in controls]
