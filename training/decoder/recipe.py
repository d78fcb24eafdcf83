"""Recipe settings of the decoder."""

from __future__ import annotations

from typing import Literal

import msgspec

from training.settings import AdversarialStage, Recipe, Stage

Objective = Literal["pairs", "attributes", "adversarial", "distillation"]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the networks."""

    w_dim: int = 128  # identity latent
    channels: tuple[int, ...] = (192, 192, 112, 64, 32)  # generator, from 8x8 upwards
    blocks: tuple[int, ...] = (1, 1, 2, 1, 1)  # residual blocks at each resolution
    modulate_to: int = 32  # highest modulated resolution
    head: int = 2  # pixel-shuffle factor
    code_dim: int = 256  # width of the modulating code
    discriminator_channels: tuple[int, ...] = (32, 64, 128, 192)


class Distil(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How stages with the objective `distillation` learn from the initial network, the teacher."""

    share: float = 0.5  # of each batch: people and poses absent from any data set
    weight: float = 1.0  # of such a picture, relative to one from the data


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the loss terms, relative to the mean absolute error of premultiplied RGBA."""

    gradient: float = 0.5  # difference of neighbouring pixels, two scales
    eyes: float = 6.0  # extra weight inside eye boxes
    mouth: float = 4.0  # extra weight inside mouth boxes
    bleed: float = 0.05  # colour just outside the silhouette
    consistency: float = 2e-3  # two pictures of one identity, one latent
    encoding: float = 0.1  # with the objective `attributes`: the encoder's latent against the attributes'
    adversarial: float = 0.01
    feature: float = 0.1  # discriminator feature matching
    roughness: float = 1.0  # approximate R1 and R2 on the discriminator


class DecoderStage(AdversarialStage, frozen=True, kw_only=True):
    """A stage of the decoder.

    Objectives: `pairs` draws a picture from the encoder's view of another one of the same person; `attributes` takes
    latents from the attributes in identities.jsonl; `adversarial` adds a discriminator and new people,
    and freezes the encoder. `distillation` beside one of the first two has a share of the pictures drawn by a teacher.
    """

    objectives: tuple[Objective, ...] = ("pairs",)
    named_share: float | None = None  # instead of data.named_share
    eyes: float | None = None  # instead of loss.eyes
    mouth: float | None = None  # instead of loss.mouth

    @property
    def attributes(self) -> bool:
        """Whether latents come from attributes."""
        return "attributes" in self.objectives

    @property
    def distillation(self) -> bool:
        """Whether there is a teacher."""
        return "distillation" in self.objectives


class DecoderRecipe(Recipe, frozen=True, kw_only=True):
    """A training run of the decoder."""

    stage: tuple[DecoderStage, ...]
    model: Model = Model()
    distil: Distil | None = None
    loss: Loss = Loss()
    mapping_steps: int = 4000  # of the latent prior

    @property
    def teaching(self) -> Distil:
        """The teacher's settings, if there is one."""
        return self.distil or Distil()

    def emphasis(self, stage: DecoderStage) -> tuple[float, float]:
        """Extra weights of eyes and of mouths in one stage."""
        eyes = self.loss.eyes if stage.eyes is None else stage.eyes
        return eyes, self.loss.mouth if stage.mouth is None else stage.mouth

    def fault(self) -> str | None:
        """What is wrong, and how to fix it."""
        model, distil = self.model, self.teaching
        if self.distil is not None and not any(stage.distillation for stage in self.stage):
            return (
                'there is a [distil], but no stage has the objective "distillation". Add it to a stage, and name the '
                "teacher's checkpoint in [start]; or leave [distil] out."
            )
        if len(model.channels) != len(model.blocks):
            return "model.channels and model.blocks differ in length; give one number of each per size."
        possible = [8 * 2**index * model.head for index in range(len(model.channels))]
        for index, stage in enumerate(self.stage):
            if stage.size_px not in possible:
                return (
                    f"stage {index} wants {stage.size_px} px, but these channels and head give {possible}. "
                    "Choose one of those, or change model.channels or model.head."
                )
            if stage.batch < 2 or stage.batch % 2:
                return f"stage {index} has batch {stage.batch}; pairs need an even number of at least 2."
            if len({"pairs", "attributes", "adversarial"} & {*stage.objectives}) != 1:
                return f"stage {index} needs exactly one of the objectives pairs, attributes and adversarial."
            if stage.distillation:
                if self.start is None or not self.start.checkpoint:
                    return (
                        f"stage {index} learns by distillation, which needs a teacher; name its checkpoint in [start]."
                    )
                if stage.adversarial:
                    return f"stage {index}: distillation goes with pairs or attributes, not with adversarial."
                if not 0 < distil.share < 1 or distil.weight <= 0:
                    return "distil.share must lie between 0 and 1, and distil.weight above 0."
                if taught(distil, stage) > stage.batch - 4:
                    return "distil.share leaves fewer than 4 pictures of the data in a batch; lower it."
        return super().fault()


def taught(distil: Distil, stage: Stage) -> int:
    """Number of pictures of a batch that the teacher draws: whole pairs, at least one."""
    return max(2, round(stage.batch * distil.share / 2) * 2)
