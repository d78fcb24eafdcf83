"""Recipe settings of the dense GAN."""

from __future__ import annotations

import msgspec

from training.settings import Data, Recipe, Stage


class Pictures(Data, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder of pictures, and their attribution, which goes into the character file."""

    licence: str
    author: str
    source: str = ""  # their origin
    cell_px: int = 0  # side of the cells that sheets are cut into; 0 if every file is one picture
    background: tuple[int, int, int] = (128, 128, 128)  # behind transparent pixels: red, green and blue


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the networks. The discriminator is the mirror image of the generator."""

    z_dim: int = 128  # latent
    widths: tuple[int, ...] = (256, 512, 1024)  # hidden layers of the generator
    dropout: float = 0.3  # in the discriminator


class DenseStage(Stage, frozen=True, kw_only=True):
    """A stage of the dense GAN: both networks share a constant learning rate."""

    size_px: int = 32
    batch: int = 64
    lr: float = 2e-4
    lr_end: float = 2e-4
    beta1: float = 0.5
    warmup_kimg: float = 0.0


class DenseRecipe(Recipe, frozen=True, kw_only=True):
    """A training run of the dense GAN."""

    data: Pictures
    stage: tuple[DenseStage, ...]
    model: Model = Model()

    def fault(self) -> str | None:
        """What is wrong, and how to fix it."""
        for index, stage in enumerate(self.stage):
            if stage.size_px != self.stage[0].size_px or stage.size_px < 1:
                return f"stage {index} wants {stage.size_px} px; a dense network has one size, so give all stages that."
            if stage.objectives:
                return f"stage {index} has objectives; this task has only one. Leave them out."
            if stage.batch < 1:
                return f"stage {index} has batches of {stage.batch}; give 1 or more."
        if min(self.model.z_dim, *self.model.widths, 1) < 1 or not self.model.widths:
            return "model.z_dim and every one of model.widths must be at least 1."
        if not 0 <= self.model.dropout < 1:
            return f"model.dropout is {self.model.dropout:g}; give a share from 0 to below 1."
        if self.data.cell_px < 0 or not all(0 <= level <= 255 for level in self.data.background):
            return "data.cell_px must not be below 0, and data.background is three numbers from 0 to 255."
        return super().fault()
