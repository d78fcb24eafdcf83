"""Recipe settings shared by all methods."""

from __future__ import annotations

import msgspec


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pictures, and which of them are held out."""

    path: str  # a data set folder, relative to the working directory
    holdout_identities: float = 0.03  # share of unnamed identities never trained on
    holdout_frames: float = 0.04  # share of every other identity's frames never trained on
    named_share: float = 0.25  # share of each batch drawn from identities that have a name; a stage may differ


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Initial weights, instead of noise: from a run or a character."""

    checkpoint: str = ""  # final.pt of another run, relative to the working directory
    character: str = ""  # its name or file; for tasks whose networks are part of one


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of the training. A new stage starts with fresh optimisers."""

    kimg: float  # thousands of pictures shown
    size_px: int  # picture size
    objectives: tuple[str, ...] = ()  # what to learn in it; each task has its own
    batch: int = 16  # pictures a step
    lr: float = 2e-3  # start of the cosine
    lr_end: float = 2e-5  # end of the cosine
    beta1: float = 0.9  # Adam; 0 suits adversarial stages
    warmup_kimg: float = 2.0  # learning rate rises from 0


class AdversarialStage(Stage, frozen=True, kw_only=True):
    """A stage that may have a discriminator: with `adversarial` among the objectives."""

    discriminator_lr: float = 4e-4

    @property
    def adversarial(self) -> bool:
        """Whether there is a discriminator."""
        return "adversarial" in self.objectives


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole training run."""

    name: str
    task: str  # the method: a name of `training.tasks.TASKS`
    data: Data
    stage: tuple[Stage, ...]
    start: Start | None = None
    seed: int = 1
    precision: str = "bf16-mixed"  # of Lightning Fabric: 32-true, bf16-mixed, 16-mixed
    ema_kimg: float = 10.0  # half-life of the averaged weights
    clip_norm: float = 1.0  # gradient norm limit
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int = 0  # if not 0: after that many steps instead of minutes
    sheet_kimg: float = 20.0  # how often pictures are drawn; 0 for never

    def fault(self) -> str | None:
        """What is wrong with contradictory settings, and how to fix it; None if nothing is."""
        if self.start is not None and bool(self.start.checkpoint) == bool(self.start.character):
            return "[start] needs either a checkpoint or a character, not both."
        if not self.stage:
            return "there is no [[stage]]; a run needs at least one."
        for index, stage in enumerate(self.stage):
            if stage.kimg <= 0 or stage.lr <= 0:
                return f"stage {index} needs kimg and lr above 0."
        if self.stage[-1].size_px != max(stage.size_px for stage in self.stage):
            return "the last stage must have the largest size_px."
        if self.precision not in ("32-true", "bf16-mixed", "16-mixed"):
            return f"precision {self.precision} is not one of 32-true, bf16-mixed, 16-mixed."
        return None
