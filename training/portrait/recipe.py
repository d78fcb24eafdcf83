"""Recipe settings of the portrait generator."""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.composite.references import REFERENCES
from training.settings import AdversarialStage, Recipe

GRID = 64  # side of the memories, and of the paint grid
Objective = Literal["attributes", "adversarial"]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the network; every reference has its own."""

    w_dim: int = 128  # identity latent
    memories: int = 24  # possible appearances of a reference, stored at 64 px
    inner: int = 4  # the same for eyes and the inside of mouths, which are small
    memory: int = 16  # channels of each
    warps: int = 16  # ways to warp the memories
    channels: int = 32  # of the trunk at 64 px
    blocks: int = 2  # of the trunk
    paints: int = 10  # colours of a reference, besides clear
    code_dim: int = 128  # width of the modulating code
    discriminator_channels: tuple[int, ...] = (48, 96, 128)  # from half the side on


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the loss terms, relative to the mean absolute error of premultiplied RGBA."""

    gradient: float = 0.5  # difference of neighbouring pixels, two scales
    coarse: float = 0.25  # averages of 8x8 pixels
    features: float = 5.0  # extra weight of eyes and mouth
    whole: float = 1.0  # the composited layers
    adversarial: float = 0.02
    feature: float = 0.2  # features of the discriminator
    roughness: float = 1.0  # approximate R1 and R2 of it


class PortraitStage(AdversarialStage, frozen=True, kw_only=True):
    """A stage of the portrait generator.

    Objectives: `attributes` draws people from their attributes in identities.jsonl; with `adversarial` beside it a
    discriminator judges crops of what is drawn.
    """

    objectives: tuple[Objective, ...] = ("attributes",)
    muon: float = 6.0  # learning rate of matrices, times `lr`
    memories: float = 4.0  # learning rate of memories and warps, times `lr`
    references: tuple[str, ...] = REFERENCES  # to train; the others are frozen


class PortraitRecipe(Recipe, frozen=True, kw_only=True):
    """A training run of the portrait generator."""

    stage: tuple[PortraitStage, ...]
    model: Model = Model()
    loss: Loss = Loss()
    noise: float = 0.05  # added to latents, so that points between two people are people, too
    mapping_steps: int = 4000  # of the latent prior

    def fault(self) -> str | None:
        """What is wrong, and how to fix it."""
        for index, stage in enumerate(self.stage):
            if stage.size_px % GRID or stage.size_px & (stage.size_px - 1):
                return f"stage {index} wants {stage.size_px} px; give {GRID} times a power of two."
            if "attributes" not in stage.objectives:
                return f'stage {index} needs the objective "attributes", alone or beside "adversarial".'
            if not stage.references or not set(stage.references) <= set(REFERENCES):
                return f"stage {index} has references {list(stage.references)}; give some of {', '.join(REFERENCES)}."
        if min(self.model.memories, self.model.inner, self.model.warps, self.model.paints) < 1:
            return "model.memories, model.inner, model.warps and model.paints must be at least 1."
        return super().fault()
