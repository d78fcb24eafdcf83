"""Learning rates over a stage."""

from __future__ import annotations

import math

from training.settings import Stage


def learning_rate_at(stage: Stage, images: int) -> float:
    """Linear rise from 0 to `lr`, then a cosine down to `lr_end` (Loshchilov 2017, arXiv:1608.03983).

    Args:
        stage: whose rate it is.
        images: pictures shown in it so far.
    """
    total, rise = stage.kimg * 1000, stage.warmup_kimg * 1000
    if images < rise:
        return stage.lr * (images + stage.batch) / (rise + stage.batch)
    done = (images - rise) / max(total - rise, 1)
    return stage.lr_end + 0.5 * (stage.lr - stage.lr_end) * (1 + math.cos(math.pi * min(done, 1)))
