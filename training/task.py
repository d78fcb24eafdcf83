"""The interface between the loop and a training method.

A run is: `open_data`, `prepare`, then `load` or `begin_from`; for each stage `enter`, many times `batch` and `step`,
and `leave`. For a finished run only `open_data` and `load` are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor

from runtime.character.file import Character
from runtime.character.manifest import Manifest
from training.data.dataset import Dataset, Split
from training.errors import CheckpointError
from training.settings import Recipe, Stage

Note = Callable[[str], None]
Progress = Callable[[str, int, int], None]  # (what, done, in all)


@dataclass
class Position:
    """Position of a run.

    Attributes:
        stage: index of the stage, from 0.
        stage_images: pictures shown in it.
        images: pictures shown in all.
        step: steps begun in all.
        seconds: spent training.
        left_out: steps without effect, because their loss or gradient was not finite.
    """

    stage: int = 0
    stage_images: int = 0
    images: int = 0
    step: int = 0
    seconds: float = 0.0
    left_out: int = 0

    @staticmethod
    def restored(state: dict[str, Any]) -> Position:
        """Read the position from a checkpoint.

        Raises:
            CheckpointError: it holds something else.
        """
        try:
            return msgspec.convert(state, Position)
        except msgspec.ValidationError as error:
            raise CheckpointError(f"The checkpoint has no run position: {error}. Use another one.") from error


class Ancestor(msgspec.Struct, frozen=True):
    """A run from which another one took its initial weights.

    Attributes:
        recipe: its name.
        kimg: thousands of pictures it was shown.
        minutes: how long it trained.
    """

    recipe: str
    kimg: float
    minutes: float


def ancestors_of(state: dict[str, Any]) -> tuple[Ancestor, ...]:
    """The ancestors of a checkpoint's weights, its own run last."""
    position = Position.restored(state["position"])
    before = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])
    name = msgspec.json.decode(state["recipe"])["name"]
    return *before, Ancestor(name, round(position.images / 1000, 1), round(position.seconds / 60, 1))


class NotFinite(ArithmeticError):
    """A step whose loss or gradient is NaN or infinite, and which was not applied."""

    def __init__(self, terms: list[str]) -> None:
        super().__init__(f"{', '.join(terms)} {'is' if len(terms) == 1 else 'are'}")


class Task(Protocol):
    """One run of one method.

    Every random number of a step comes from torch's generator, which the loop seeds before `batch`, or from the
    position; so that a resumed run ends like an uninterrupted one.
    """

    @property
    def digest(self) -> str:
        """Digest of the data's labels, in hex: a run can be resumed with the same data only."""

    def open_data(
        self, folder: Path, stages: Sequence[Stage], *, workers: int = 2, progress: Progress | None = None, note: Note
    ) -> None:
        """Read the data.

        Args:
            folder: of the data.
            stages: of the recipe, those to be trained; the last one for a finished run.
            workers: processes for decoding pictures on first use.
            progress: called meanwhile.
            note: told where decoded pictures are, if not beside the data.

        Raises:
            DatasetError: it is missing or damaged.
            RecipeError: it leaves too little to train on.
        """

    def prepare(self, fabric: Fabric) -> None:
        """Prepare for training: networks with weights that depend only on the recipe's seed."""

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """Copy the weights of another run, and return their ancestors, oldest first.

        Raises:
            CheckpointError: they belong to something else.
        """

    def state(self) -> dict[str, Any]:
        """The contents of a checkpoint: `networks`, the weights by network, and whatever else is needed."""

    def load(self, state: dict[str, Any]) -> None:
        """Load a checkpoint, with the contents of `state` and the run's position and ancestors.

        Raises:
            CheckpointError: it belongs to other networks.
        """

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:
        """Start a stage, or resume one if there are optimisers for it.

        Raises:
            CheckpointError: they belong to other optimisers.
        """

    def batch(self, position: Position) -> Any:
        """Inputs of the next step."""

    def step(self, batch: Any, position: Position) -> dict[str, Tensor]:
        """One step of every optimiser; returns the terms of its loss.

        Raises:
            NotFinite: a loss or a gradient is not finite; the step was not applied.
        """

    def optimizers(self) -> dict[str, Any]:
        """State of all optimisers of the stage."""

    def check_sound(self) -> None:
        """Test the networks before they are saved.

        Raises:
            TrainingError: their output is not a picture.
        """

    def leave(self, stage: int) -> None:
        """End a stage."""

    def sheets(self, folder: Path, images: int) -> None:
        """Draw sheets with the current networks.

        Raises:
            SinkError: the folder cannot be written to.
        """

    def evaluate(self, folder: Path, *, frames: int, at_px: int | None, note: Note) -> dict[str, Any]:
        """Measure quality on held-out pictures; sheets go into the folder.

        Raises:
            DatasetError: nothing was held out.
        """


class Exporting(Task, Protocol):
    """A method whose runs can become character files.

    Attributes:
        recipe: of the run.
        dataset: at the size of the last stage.
        split: training and held-out frames.
    """

    recipe: Recipe
    dataset: Dataset
    split: Split

    def gallery(self, folder: Path, *, seed: int, truncation_psi: float) -> list[Path]:
        """Write sheets that show the networks, and return the files."""

    def export(
        self,
        out: Path,
        *,
        name: str,
        report: dict[str, Any],
        refine: bool,
        half: bool,
        note: Note,
        people: Path | None = None,
        portrait: Path | None = None,
    ) -> Manifest:
        """Write a character file.

        Args:
            out: the `.bunraku` file.
            name: of the character.
            report: its quality figures.
            refine: fit named people to their own pictures.
            half: add networks in half precision.
            people: a data set whose named people replace the run's own.
            portrait: a run of the portrait generator, which draws people from seeds.
            note: told the current step.

        Raises:
            CharacterError: it would not draw what the networks draw.
            RecipeError: this method cannot use people from elsewhere.
        """

    def compare(self, other: Task, sheet: Path) -> dict[str, Any]:
        """Draw the same held-out pictures with two runs, side by side.

        Raises:
            CheckpointError: the other run is of another method.
        """


class Beginning(Task, Protocol):
    """A method whose networks are part of character files, so that a run can start from one."""

    def begin_with(self, character: Character) -> tuple[Ancestor, ...]:
        """Copy the networks of a character, and return their ancestors, oldest first.

        Raises:
            CheckpointError: they belong to something else.
        """


class Looking(Task, Protocol):
    """A method that can draw people of other data sets."""

    def look_at(self, folder: Path, *, note: Note) -> None:
        """Use the people of another data set from now on.

        Raises:
            DatasetError: it does not fit.
        """


def refuse_what_is_not_finite(fabric: Fabric, precision: str, values: dict[str, Tensor], norm: Tensor) -> None:
    """Check the terms of a step's loss and its gradient, in one transfer from the device.

    Args:
        fabric: of the run; all processes must agree on whether to go on.
        precision: of the recipe. With `16-mixed` the loss scaler handles gradients.
        values: scalars by name.
        norm: of the gradient, a scalar.

    Raises:
        NotFinite: one is not finite, here or in another process.
    """
    found = {name: value.detach().float() for name, value in values.items()}
    if precision != "16-mixed":
        found["norm of the gradient"] = norm.detach().float()
    finite = torch.stack(list(found.values())).isfinite().tolist()
    bad = [name for name, good in zip(found, finite, strict=True) if not good]
    if anywhere(fabric, bool(bad)):
        raise NotFinite(bad or ["a term of another process"])


def anywhere(fabric: Fabric, here: bool) -> bool:
    """Whether it is so in any of the processes that train together."""
    if fabric.world_size == 1:
        return here
    found = fabric.all_reduce(torch.tensor(float(here), device=fabric.device), reduce_op="sum")
    return bool(cast(Tensor, found) > 0)
