"""What a recipe of the animator may say. Knows settings, not tensors."""

from __future__ import annotations

from typing import Literal

import msgspec

from training.settings import AdversarialStage, Recipe

FINE = 64  # side of the finest grid that motion is found on
Objective = Literal["motion", "adversarial"]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the networks."""

    reader: tuple[int, int, int, int] = (64, 96, 128, 160)  # channels at 64, 32, 16 and 8 px
    channels: tuple[int, int, int] = (96, 48, 24)  # of the animator at 16, 32 and 64 px; multiples of 4
    blocks: tuple[int, int, int] = (2, 2, 1)  # residual blocks there
    id_dim: int = 128  # of the person's code
    code_dim: int = 256  # width of the modulating code
    planes_px: int = 128  # side of masks and of what is drawn: 64 times a power of two
    discriminator_channels: tuple[int, ...] = (32, 64, 128)  # from half the side on


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the loss terms, relative to the mean absolute error of premultiplied RGBA."""

    gradient: float = 0.5  # difference of neighbouring pixels, two scales
    coarse: float = 0.5  # averages of 8x8 pixels
    eyes: float = 6.0  # extra weight inside eye boxes
    mouth: float = 4.0  # extra weight inside mouth boxes
    brows: float = 0.0  # extra weight above eye boxes
    layers: float = 1.0  # every layer by itself, at half the size
    landmarks: float = 12.0  # points that the data set gives: how far beside them paint is fetched, in half pictures
    hidden: float = 0.15  # how little of them comes from the reference that shows them
    bending: float = 4.0  # of the flows of hair and body, beyond that of a rigid head
    adversarial: float = 0.02
    feature: float = 0.2  # features of the discriminator
    roughness: float = 1.0  # approximate R1 and R2 of it


class AnimatorStage(AdversarialStage, frozen=True, kw_only=True):
    """A stage of the animator.

    Objectives: with `motion` people move as the data show it; with `adversarial` beside it a discriminator looks
    at faces.
    """

    objectives: tuple[Objective, ...] = ("motion",)
    restyled: float = 0.0  # share of people shown in other colours, tones, lines and framing
    eyes: float | None = None  # instead of loss.eyes
    mouth: float | None = None  # instead of loss.mouth
    brows: float | None = None  # instead of loss.brows
    frames: int = 3  # of one person in a batch; the person is read once for them
    muon: float = 6.0  # learning rate of matrices, times `lr`
    weight_decay: float = 1e-4


class AnimatorRecipe(Recipe, frozen=True, kw_only=True):
    """A training run of the animator."""

    stage: tuple[AnimatorStage, ...]
    model: Model = Model()
    loss: Loss = Loss()

    def emphasis(self, stage: AnimatorStage) -> tuple[float, float, float]:
        """Extra weights of eyes, of mouths and of brows in one stage."""
        eyes = self.loss.eyes if stage.eyes is None else stage.eyes
        brows = self.loss.brows if stage.brows is None else stage.brows
        return eyes, self.loss.mouth if stage.mouth is None else stage.mouth, brows

    def fault(self) -> str | None:
        """What is wrong, and what to do about it."""
        model = self.model
        if any(width % 4 or width <= 0 for width in model.channels):
            return "model.channels must be multiples of 4: each layer has a quarter of the features."
        if model.planes_px not in (FINE * 2**power for power in range(4)):
            return f"model.planes_px {model.planes_px} is not one of 64, 128, 256 and 512."
        for index, stage in enumerate(self.stage):
            if stage.size_px < FINE or stage.size_px & (stage.size_px - 1):
                return f"stage {index} wants {stage.size_px} px; give a power of two of at least {FINE}."
            if stage.frames < 1 or stage.batch % stage.frames:
                return f"stage {index} has batch {stage.batch}, which is not a multiple of its {stage.frames} frames."
            if not 0 <= stage.restyled <= 1:
                return f"stage {index} has restyled {stage.restyled}; it is a share, 0 to 1."
            if "motion" not in stage.objectives:
                return f'stage {index} needs the objective "motion", alone or beside "adversarial".'
        return super().fault()
