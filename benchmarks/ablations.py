"""The value of each part of the animator: equal training time without it. Prints a table, then one JSON line.

    bunraku-train data cast --layers --identities 4000 --frames 3 --named-frames 60 --out datasets/layers
    python benchmarks/ablations.py --minutes 4 --out runs/ablations

An existing run is only measured, and a stopped one is resumed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from engine_bridge.errors import BunrakuError
from runtime.composite.references import REFERENCES
from runtime.machine import describe
from training import metrics, tasks
from training.animator.recipe import FINE, AnimatorRecipe
from training.animator.rigid import PARTS
from training.animator.task import AnimatorTask, Batch
from training.loop import fit
from training.recipe import load_recipe
from training.runs import open_run

STAGES = (
    "{kimg=24, size_px=128, batch=18, restyled=RESTYLED, lr=5e-4, lr_end=3e-4, warmup_kimg=0.5}",
    '{kimg=12, size_px=256, batch=12, restyled=RESTYLED, lr=4e-4, lr_end=1e-5, warmup_kimg=0.3, objectives=["motion"]}',
)
BACK, BODY, INNER, HEAD, FRONT, OPEN = range(len(REFERENCES))


class OneFlow(AnimatorTask):
    """One picture of a person at rest, and one with eyes closed and mouth open: no layers.

    Attributes:
        groups: merges references into one, the lowest layer first.
    """

    groups: ClassVar[dict[int, Sequence[int]]] = {
        HEAD: (BACK, BODY, INNER, HEAD, FRONT),
        OPEN: (BACK, BODY, INNER, OPEN, FRONT),
    }

    def _seen(self, references: Tensor) -> Tensor:
        """References of each person, [N, R, 4, S, S], premultiplied."""
        return _gathered(references, self.groups)

    def _batch(self, frames: Any, size_px: int, each: int) -> Batch:
        batch = super()._batch(frames, size_px, each)
        return replace(
            batch,
            seen=self._seen(batch.seen),
            references=self._seen(batch.references),
            landmarks=_followed(batch.landmarks, self.groups),
        )

    def _moved(self, seen: Tensor, references: Tensor, controls: Any) -> Tensor:
        return super()._moved(self._seen(seen), self._seen(references), controls)


class TwoFlows(OneFlow):
    """Two flows: with the head, and with the body."""

    groups: ClassVar[dict[int, Sequence[int]]] = {
        BODY: (BACK, BODY),
        HEAD: (INNER, HEAD, FRONT),
        OPEN: (INNER, OPEN, FRONT),
    }


class NoInner(OneFlow):
    """Eyes and the inside of mouths are parts of the head, as in a drawing."""

    groups: ClassVar[dict[int, Sequence[int]]] = {
        BACK: (BACK,),
        BODY: (BODY,),
        HEAD: (INNER, HEAD),
        FRONT: (FRONT,),
        OPEN: (INNER, OPEN),
    }


class NeverOpen(OneFlow):
    """Layers of a person at rest; nothing shows what is behind lids and lips."""

    groups: ClassVar[dict[int, Sequence[int]]] = {
        **{layer: (layer,) for layer in (BACK, BODY, INNER, HEAD, FRONT)},
        OPEN: (HEAD,),
    }


class NoPrior(AnimatorTask):
    """No rigid motion prior: the network must learn how a head turns."""

    def open_data(self, *arguments: Any, **options: Any) -> None:
        """See `Task`."""
        super().open_data(*arguments, **options)
        for animator in (self.animator, self.animator_ema):
            animator.rigid = _Still()  # type: ignore[assignment]


class _Still(nn.Module):
    def forward(self, controls: Tensor) -> Tensor:
        return controls.new_zeros(len(controls), len(PARTS), 2, FINE, FINE)


def _gathered(references: Tensor, groups: dict[int, Sequence[int]]) -> Tensor:
    """Merge groups of references by compositing them; the others become empty."""
    gathered = torch.zeros_like(references)
    for into, group in groups.items():
        for index in group:
            layer = references[:, index]
            gathered[:, into] = layer + gathered[:, into] * (1 - layer[:, 3:])
    return gathered


def _followed(landmarks: Tensor, groups: dict[int, Sequence[int]]) -> Tensor:
    """Landmarks [2, N, R, J, 2], each under the first reference that contains its original one."""
    moved = torch.full_like(landmarks, torch.nan)
    taken: set[int] = set()
    for into, group in groups.items():
        for index in [index for index in group if index not in taken]:
            points = landmarks[:, :, index]
            moved[:, :, into] = torch.where(torch.isfinite(points), points, moved[:, :, into])
            taken.add(index)
    return moved


@dataclass(frozen=True)
class Variant:
    """One ablation.

    Attributes:
        told: label in the table.
        settings: of the recipe, besides the stages.
        task: task class to train.
        restyled: share of people shown in other styles.
        adversarial: whether a discriminator judges faces in the second stage.
    """

    told: str
    settings: tuple[str, ...] = ()
    task: type[AnimatorTask] = AnimatorTask
    restyled: float = 0.3
    adversarial: bool = False


VARIANTS = {
    "all": Variant("everything"),
    "two": Variant("two flows: body, head", ("loss.layers=0",), TwoFlows),
    "one": Variant("one flow, no layers", ("loss.layers=0",), OneFlow),
    "no-inner": Variant("no openings in the head", ("loss.layers=0",), NoInner),
    "never-open": Variant("one reference: nothing open", (), NeverOpen),
    "no-prior": Variant("no rigid motion", (), NoPrior),
    "no-landmarks": Variant("no landmarks", ("loss.landmarks=0", "loss.hidden=0")),
    "no-bending": Variant("flows bend for nothing", ("loss.bending=0",)),
    "no-restyling": Variant("no other styles", restyled=0.0),
    "adversarial": Variant("faces judged as well", adversarial=True),
}


def recipe_of(variant: Variant, data: Path) -> AnimatorRecipe:
    """The recipe `animator` with shorter stages and the variant's settings."""
    objectives = '["motion", "adversarial"]' if variant.adversarial else '["motion"]'
    stages = ", ".join(STAGES).replace("RESTYLED", str(variant.restyled)).replace('["motion"]', objectives)
    settings = (f"data.path={data}", f"stage=[{stages}]", "sheet_kimg=0", *variant.settings)
    recipe = load_recipe("animator", settings)
    assert isinstance(recipe, AnimatorRecipe)
    return recipe


def measure(task: AnimatorTask, frames: int) -> dict[str, Any]:
    """Metrics of held-out people, moved as in the data."""
    dataset, rows = task.dataset, task.split.unseen_identities
    rows = rows[np.linspace(0, len(rows) - 1, min(frames, len(rows))).astype(int)]
    wanted = torch.from_numpy(np.asarray(dataset.pictures[rows])).permute(0, 3, 1, 2).float() / 255
    drawn = task.draw(dataset.identity[rows], dataset.controls[rows])
    figures: dict[str, Any] = metrics.figures(drawn, wanted, torch.from_numpy(dataset.regions[rows]))
    names = [control.name for control in dataset.manifest.controls]
    yaw = np.abs(dataset.controls[rows, names.index("headYaw")])
    turned = metrics.psnr(drawn, wanted).numpy()[yaw >= 16]
    return {
        "frames": len(rows),
        "images": task.position.images,
        "turned_db": round(float(np.median(turned)), 2),
        **figures,
    }


def train(name: str, variant: Variant, data: Path, out: Path, minutes: float) -> AnimatorTask:
    """Train a variant, resume it, or open it."""
    own = tasks.Method(AnimatorRecipe, variant.task.__module__, variant.task.__name__)
    tasks.TASKS["animator"] = own  # a run opens its task by name
    run = out / name
    if not (run / "final.pt").exists():
        fit(recipe_of(variant, data), run, minutes=minutes)
    task = open_run(run)
    assert isinstance(task, AnimatorTask)
    return task


def main() -> None:
    """Train the requested variants, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("datasets/layers"), help="a cast in layers")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"), help="folder of the runs")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, each")
    parser.add_argument("--frames", type=int, default=120, help="pictures to measure by")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="which")
    given = parser.parse_args()
    rows = {}
    for name in given.only:
        rows[name] = measure(train(name, VARIANTS[name], given.data, given.out, given.minutes), given.frames)
    tell(rows, print)
    print(json.dumps({"benchmark": "ablations", **describe(), "minutes": given.minutes, "variants": rows}))


def tell(rows: dict[str, dict[str, Any]], say: Callable[[str], None]) -> None:
    """The table."""
    say(
        f"{'':>28} {'pictures':>9} {'dB':>6} {'worst':>6} {'turned':>7} "
        f"{'SSIM':>6} {'detail':>7} {'eyes':>6} {'mouth':>6}"
    )
    for name, row in rows.items():
        say(
            f"{VARIANTS[name].told:>28} {row['images']:9,} {row['psnr_median_db']:6.2f} {row['psnr_p1_db']:6.2f} "
            f"{row['turned_db']:7.2f} {row['ssim_mean']:6.3f} {row['detail_ratio']:7.2f} "
            f"{row['eye_error']:6.3f} {row['mouth_error']:6.3f}"
        )


if __name__ == "__main__":
    try:
        main()
    except BunrakuError as error:
        sys.exit(f"Error: {error}")
