"""The training methods, by name. Loads no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from training.animator.recipe import AnimatorRecipe
from training.decoder.recipe import DecoderRecipe
from training.encoder.recipe import EncoderRecipe
from training.image_gan.recipe import DenseRecipe
from training.portrait.recipe import PortraitRecipe
from training.settings import Recipe

if TYPE_CHECKING:
    from training.task import Task


@dataclass(frozen=True)
class Method:
    """A method of training.

    Attributes:
        recipe: its recipe class.
        module: of the task's class.
        name: of that class, which is called with a recipe.
    """

    recipe: type[Recipe]
    module: str
    name: str


TASKS: Final = {
    "animator": Method(AnimatorRecipe, "training.animator.task", "AnimatorTask"),
    "decoder": Method(DecoderRecipe, "training.decoder.task", "DecoderTask"),
    "dense": Method(DenseRecipe, "training.image_gan.dense", "DenseTask"),
    "encoder": Method(EncoderRecipe, "training.encoder.task", "EncoderTask"),
    "portrait": Method(PortraitRecipe, "training.portrait.task", "PortraitTask"),
}


def open_task(recipe: Recipe) -> Task:
    """The task of a recipe, without data and networks yet."""
    method = TASKS[recipe.task]
    task: Task = getattr(importlib.import_module(method.module), method.name)(recipe)
    return task
