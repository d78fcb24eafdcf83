"""What a recipe of the encoder may say. Knows settings, not tensors."""

from __future__ import annotations

from typing import Literal

import msgspec

from training.settings import Recipe, Stage

Objective = Literal["latents"]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the network."""

    w_dim: int = 128  # identity latent, as the portrait generator has it
    channels: tuple[int, ...] = (64, 96, 128, 192, 256)  # at 64 px and downwards


class EncoderStage(Stage, frozen=True, kw_only=True):
    """A stage of the encoder. `latents`: pictures in any pose are told apart as their attributes are."""

    objectives: tuple[Objective, ...] = ("latents",)


class EncoderRecipe(Recipe, frozen=True, kw_only=True):
    """A training run of the encoder."""

    stage: tuple[EncoderStage, ...]
    model: Model = Model()

    def fault(self) -> str | None:
        """What is wrong, and what to do about it."""
        if self.start is None:
            return "there is no [start]: name the checkpoint of the portrait generator whose latents are to be found."
        for index, stage in enumerate(self.stage):
            if stage.size_px & (stage.size_px - 1):
                return f"stage {index} wants {stage.size_px} px; give a power of two."
            if tuple(stage.objectives) != ("latents",):
                return f'stage {index} needs the objective "latents".'
        return super().fault()
