"""Recipes: everything that decides a training run, in one TOML file. Knows settings, not tensors.

Order: the defaults here, then the recipe, then `--set section.key=value`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from engine_bridge.errors import RecipeError
from runtime.tables import TableError, decode_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the pictures are and which of them are kept out of training."""

    path: str  # a data set folder, relative to the working directory
    holdout_identities: float = 0.03  # share of unnamed identities never trained on
    holdout_frames: float = 0.04  # share of every other identity's frames never trained on
    named_share: float = 0.25  # share of each batch drawn from identities that have a name; a stage may differ


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the networks."""

    w_dim: int = 128  # identity latent
    channels: tuple[int, ...] = (192, 192, 112, 64, 32)  # generator, from 8x8 upwards
    blocks: tuple[int, ...] = (1, 1, 2, 1, 1)  # residual blocks at each resolution
    modulate_to: int = 32  # highest modulated resolution
    head: int = 2  # pixel-shuffle factor
    code_dim: int = 256  # width of the modulating code
    discriminator_channels: tuple[int, ...] = (32, 64, 128, 192)


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights to begin with, instead of noise."""

    checkpoint: str  # final.pt of another run, relative to the working directory


class Distil(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part of what is shown is drawn by the network that the run began with, the teacher; not in adversarial stages."""

    share: float = 0.5  # of each batch: people and poses that no data set has
    weight: float = 1.0  # of such a picture, relative to one of the data


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the loss terms, relative to the mean absolute error of premultiplied RGBA."""

    gradient: float = 0.5  # difference of neighbouring pixels, two scales
    eyes: float = 6.0  # extra weight inside eye boxes
    mouth: float = 4.0  # extra weight inside mouth boxes
    bleed: float = 0.05  # colour just outside the silhouette
    consistency: float = 2e-3  # two pictures of one identity, one latent
    encoding: float = 0.1  # in a stage with attributes: the encoder's latent against the attributes'
    adversarial: float = 0.01
    feature: float = 0.1  # discriminator feature matching
    roughness: float = 1.0  # approximate R1 and R2 on the discriminator


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part of the training. A new stage starts with fresh optimisers."""

    kimg: float  # thousands of pictures shown
    size_px: int  # picture size
    batch: int = 16  # pictures a step; pairs of one identity
    lr: float = 2e-3  # generator and encoder, start of the cosine
    lr_end: float = 2e-5  # end of the cosine
    named_share: float | None = None  # instead of data.named_share
    eyes: float | None = None  # instead of loss.eyes
    mouth: float | None = None  # instead of loss.mouth
    attributes: bool = False  # identities.jsonl says all that tells people apart: take latents from it
    beta1: float = 0.9  # Adam; 0 suits the adversarial part
    warmup_kimg: float = 2.0  # learning rate rises from 0
    adversarial: bool = False  # discriminator on; the encoder is then frozen and latents are sampled as well
    discriminator_lr: float = 4e-4


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole training run."""

    name: str
    data: Data
    stage: tuple[Stage, ...]
    model: Model = Model()
    start: Start | None = None
    distil: Distil | None = None
    loss: Loss = Loss()
    seed: int = 1
    precision: str = "bf16-mixed"  # of Lightning Fabric: 32-true, bf16-mixed, 16-mixed
    ema_kimg: float = 10.0  # half-life of the averaged weights
    clip_norm: float = 1.0  # gradient norm limit
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int = 0  # if not 0: after that many steps instead of minutes
    sheet_kimg: float = 20.0  # how often pictures are drawn; 0 for never
    mapping_steps: int = 4000  # of the latent prior

    def emphasis(self, stage: Stage) -> tuple[float, float]:
        """Extra weights of eyes and of mouths in one stage."""
        eyes = self.loss.eyes if stage.eyes is None else stage.eyes
        return eyes, self.loss.mouth if stage.mouth is None else stage.mouth


def load_recipe(source: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: a file, or the name of one that ships with the package (`aki`, `godette`, …).
        overrides: `section.key=value`, value in TOML; `stage.0.kimg=10` reaches into the list.

    Raises:
        RecipeError: no such file, not TOML, an unknown key, a wrong type, or sizes that do not fit each other.
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
        recipe = msgspec.convert(table, Recipe)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {error}. The fields and their meaning stand in docs/training.md.") from error
    _check(recipe, path)
    return recipe


def taught(distil: Distil, stage: Stage) -> int:
    """How many pictures of a batch the teacher draws: whole pairs, at least one."""
    return max(2, round(stage.batch * distil.share / 2) * 2)


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


def _check(recipe: Recipe, path: Path) -> None:
    model = recipe.model
    if len(model.channels) != len(model.blocks):
        raise RecipeError(
            f"{path}: model.channels and model.blocks differ in length; give one number of each per size."
        )
    if recipe.distil is not None:
        if recipe.start is None:
            raise RecipeError(f"{path}: [distil] needs a teacher; name its checkpoint in [start].")
        if not 0 < recipe.distil.share < 1 or recipe.distil.weight <= 0:
            raise RecipeError(f"{path}: distil.share must lie between 0 and 1, and distil.weight above 0.")
        if any(taught(recipe.distil, stage) > stage.batch - 4 for stage in recipe.stage if not stage.adversarial):
            raise RecipeError(f"{path}: distil.share leaves fewer than 4 pictures of the data in a batch; lower it.")
    possible = [8 * 2**index * model.head for index in range(len(model.channels))]
    if not recipe.stage:
        raise RecipeError(f"{path}: there is no [[stage]]; a run needs at least one.")
    for index, stage in enumerate(recipe.stage):
        if stage.size_px not in possible:
            raise RecipeError(
                f"{path}: stage {index} wants {stage.size_px} px, but these channels and head give {possible}. "
                "Choose one of those, or change model.channels or model.head."
            )
        if stage.batch < 2 or stage.batch % 2:
            raise RecipeError(
                f"{path}: stage {index} has batch {stage.batch}; pairs need an even number of at least 2."
            )
        if stage.kimg <= 0 or stage.lr <= 0:
            raise RecipeError(f"{path}: stage {index} needs kimg and lr above 0.")
    if recipe.stage[-1].size_px != max(stage.size_px for stage in recipe.stage):
        raise RecipeError(f"{path}: the last stage must have the largest size_px.")
    if recipe.precision not in ("32-true", "bf16-mixed", "16-mixed"):
        raise RecipeError(f"{path}: precision {recipe.precision} is not one of 32-true, bf16-mixed, 16-mixed.")
