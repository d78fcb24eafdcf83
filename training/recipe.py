"""Reading recipes, which determine a training run. Loads no torch.

Settings, in order: the defaults of the recipe's class, then the recipe, then `--set section.key=value`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.tables import TableError, decode_text
from training.errors import RecipeError
from training.settings import Recipe
from training.tasks import TASKS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES: Final = Path(__file__).parent / "recipes"
USUAL: Final = "decoder"  # the task of recipes without one, from when it was the only one


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
    """Parse a recipe stored by a run.

    Raises:
        msgspec.MsgspecError: this version cannot read it.
    """
    return _recipe(msgspec.json.decode(text, type=dict[str, Any]))


def _recipe(table: dict[str, Any]) -> Recipe:
    known = ", ".join(TASKS)
    task = table.get("task", USUAL)
    if not isinstance(task, str) or task not in TASKS:
        raise msgspec.ValidationError(f"there is no task {task!r} (there are: {known})")
    return msgspec.convert({**table, "task": task}, TASKS[task].recipe)


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
