"""Recipe settings of the encoder."""

from __future__ import annotations

from typing import Literal

import msgspec

from training.settings import Recipe, Stage

Objective = Literal["attributes"]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the network."""

    w_dim: int = 128  # identity latent, as in the portrait generator
    channels: tuple[int, ...] = (80, 128, 192, 256)  # at 32 px and downwards
    blocks: tuple[int, ...] = (1, 2, 2, 1)  # residual blocks there


class EncoderStage(Stage, frozen=True, kw_only=True):
    """A stage of the encoder. `attributes`: predict the attributes in `identities.jsonl` from pictures in any pose."""

    objectives: tuple[Objective, ...] = ("attributes",)
    muon: float = 6.0  # learning rate of matrices, times `lr`


class EncoderRecipe(Recipe, frozen=True, kw_only=True):
    """A training run of the encoder."""

    stage: tuple[EncoderStage, ...]
    model: Model = Model()

    def fault(self) -> str | None:
        """What is wrong, and how to fix it."""
        if self.start is None:
            return "[start] is missing: name the checkpoint of the portrait generator whose latents to predict."
        if not 0 < len(self.model.channels) == len(self.model.blocks) <= 6:
            return "model.channels and model.blocks need one number for each size, and there are at most 6 sizes."
        for index, stage in enumerate(self.stage):
            if stage.size_px & (stage.size_px - 1):
                return f"stage {index} wants {stage.size_px} px; give a power of two."
            if tuple(stage.objectives) != ("attributes",):
                return f'stage {index} needs the objective "attributes".'
        return super().fault()
