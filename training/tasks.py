"""The methods of training, by name, and reading their recipes. Loads no torch.

Order of settings: the defaults of the recipe's class, then the recipe, then `--set section.key=value`.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine_bridge.errors import RecipeError
from runtime.tables import TableError, decode_text
from training.animator.recipe import AnimatorRecipe
from training.decoder.recipe import DecoderRecipe
from training.recipe import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from training.task import Task

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Method:
    """A method of training.

    Attributes:
        recipe: what its recipes may say.
        module: has the class of the task.
        name: of that class, which is called with a recipe.
    """

    recipe: type[Recipe]
    module: str
    name: str


TASKS: Final = {
    "animator": Method(AnimatorRecipe, "training.animator.task", "AnimatorTask"),
    "decoder": Method(DecoderRecipe, "training.decoder.task", "DecoderTask"),
}


def open_task(recipe: Recipe) -> Task:
    """The task of a recipe, without data and networks yet."""
    method = TASKS[recipe.task]
    task: Task = getattr(importlib.import_module(method.module), method.name)(recipe)
    return task


def load_recipe(source: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: a file, or the name of one that ships with the package (`aki`, `godette`, …).
        overrides: `section.key=value`, value in TOML; `stage.0.kimg=10` reaches into the list.

    Raises:
        RecipeError: no such file, not TOML, an unknown task or key, a wrong type, or settings that do not fit each
            other.
    """
    path = Path(source)
    if not path.suffix and not path.exists():
        path = RECIPES / f"{source}.toml"
    try:
        table = tomllib.loads(decode_text(path.read_bytes()))
    except FileNotFoundError:
        shipped = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"There is no recipe {source}. Give a .toml file, or one of: {shipped}.") from None
    except (OSError, TableError) as error:
        raise RecipeError(f"{path} cannot be read: {error}. Check the file.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}. Fix that line.") from error
    for override in overrides:
        _apply(table, override)
    try:
        recipe = _recipe(table)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {error}. The fields and their meaning stand in docs/training.md.") from error
    if (fault := recipe.fault()) is not None:
        raise RecipeError(f"{path}: {fault}")
    return recipe


def read_resolved(text: str | bytes) -> Recipe:
    """A recipe as a run keeps it.

    Raises:
        msgspec.MsgspecError: it is none that this version reads.
    """
    return _recipe(msgspec.json.decode(text, type=dict[str, Any]))


def _recipe(table: dict[str, Any]) -> Recipe:
    known = ", ".join(TASKS)
    if "task" not in table:
        raise msgspec.ValidationError(f'it names no task; add a line such as task = "decoder" (there are: {known})')
    if not isinstance(table["task"], str) or table["task"] not in TASKS:
        raise msgspec.ValidationError(f"there is no task {table['task']!r} (there are: {known})")
    return msgspec.convert(table, TASKS[table["task"]].recipe)


def _apply(table: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError(
            f"--set {override}: write it as section.key=value, for example --set data.path=datasets/cast."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    place: Any = table
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[last] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        raise RecipeError(f"--set {override}: the recipe has no {key}.") from None
