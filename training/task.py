"""What the loop asks of a method of training. Knows no method.

A run is: `open_data`, `prepare`, then `load` or `begin_from`; for each stage `enter`, many times `batch` and `step`,
and `leave`. Whoever only looks at a finished run calls `open_data` and `load`.
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
Progress = Callable[[str, int, int], None]  # of what, done, in all


@dataclass
class Position:
    """Where a run is.

    Attributes:
        stage: number of the stage, from 0.
        stage_images: pictures shown in it.
        images: pictures shown in all.
        step: steps begun in all.
        seconds: spent training.
        left_out: steps that changed nothing, because their loss or gradient was not finite.
    """

    stage: int = 0
    stage_images: int = 0
    images: int = 0
    step: int = 0
    seconds: float = 0.0
    left_out: int = 0

    @staticmethod
    def restored(state: dict[str, Any]) -> Position:
        """What a checkpoint holds.

        Raises:
            CheckpointError: it holds something else.
        """
        try:
            return msgspec.convert(state, Position)
        except msgspec.ValidationError as error:
            raise CheckpointError(f"The checkpoint does not say how far it is: {error}. Use another one.") from error


class Ancestor(msgspec.Struct, frozen=True):
    """A run whose weights another one began with.

    Attributes:
        recipe: its name.
        kimg: thousands of pictures it was shown.
        minutes: how long it trained.
    """

    recipe: str
    kimg: float
    minutes: float


def ancestors_of(state: dict[str, Any]) -> tuple[Ancestor, ...]:
    """The runs that the weights of a checkpoint come from, its own last."""
    position = Position.restored(state["position"])
    before = msgspec.convert(state.get("ancestors", []), tuple[Ancestor, ...])
    name = msgspec.json.decode(state["recipe"])["name"]
    return *before, Ancestor(name, round(position.images / 1000, 1), round(position.seconds / 60, 1))


class NotFinite(ArithmeticError):
    """A step whose loss or gradient is NaN or infinite, and which was not taken."""

    def __init__(self, terms: list[str]) -> None:
        super().__init__(f"{', '.join(terms)} {'is' if len(terms) == 1 else 'are'}")


class Task(Protocol):
    """One run of one method.

    Every random number of a step comes from torch's generator, which the loop seeds before `batch`, or from the
    position; so that a run which was stopped ends as one that was not.
    """

    @property
    def digest(self) -> str:
        """Of the labels of the data, in hex: a run goes on with the same data only."""

    def open_data(
        self, folder: Path, stages: Sequence[Stage], *, workers: int = 2, progress: Progress | None = None, note: Note
    ) -> None:
        """Read the data.

        Args:
            folder: where they are.
            stages: of the recipe, those that will be trained; the last one to look at a finished run.
            workers: processes that decode pictures the first time.
            progress: called while they do.
            note: told where decoded pictures lie, if that is not beside the data.

        Raises:
            DatasetError: they are not there, or damaged.
            RecipeError: they leave too little to train on.
        """

    def prepare(self, fabric: Fabric) -> None:
        """Make ready to train: networks with weights that depend on the recipe's seed alone."""

    def begin_from(self, checkpoint: Path) -> tuple[Ancestor, ...]:
        """Take over the weights of another run, and return the runs that they come from, the oldest first.

        Raises:
            CheckpointError: they are of something else.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: `networks`, the weights by network, and whatever else belongs to it."""

    def load(self, state: dict[str, Any]) -> None:
        """Take a checkpoint, with what `state` gave and the run's position and ancestors.

        Raises:
            CheckpointError: it is of other networks.
        """

    def enter(self, stage: int, *, optimizers: dict[str, Any] | None, note: Note) -> None:
        """Begin a stage, or go on with one if there are optimisers of it.

        Raises:
            CheckpointError: they are of other optimisers.
        """

    def batch(self, position: Position) -> Any:
        """What the next step is shown."""

    def step(self, batch: Any, position: Position) -> dict[str, Tensor]:
        """One step of every optimiser, and the terms of its loss.

        Raises:
            NotFinite: a loss or a gradient is not finite; the step was not taken.
        """

    def optimizers(self) -> dict[str, Any]:
        """State of all optimisers of the stage."""

    def check_sound(self) -> None:
        """Try the networks before they are kept.

        Raises:
            TrainingError: what comes out of them is not a picture.
        """

    def leave(self, stage: int) -> None:
        """End a stage."""

    def sheets(self, folder: Path, images: int) -> None:
        """Draw what the networks can do by now.

        Raises:
            SinkError: the folder takes nothing.
        """

    def evaluate(self, folder: Path, *, frames: int, at_px: int | None, note: Note) -> dict[str, Any]:
        """Measure quality on pictures never trained on; sheets go into the folder.

        Raises:
            DatasetError: nothing was held out.
        """


class Exporting(Task, Protocol):
    """A method whose runs become character files.

    Attributes:
        recipe: of the run.
        dataset: at the size of the last stage.
        split: what was trained on and what was not.
    """

    recipe: Recipe
    dataset: Dataset
    split: Split

    def gallery(self, folder: Path, *, seed: int, truncation_psi: float) -> list[Path]:
        """Write sheets of what the networks can do, and return the files."""

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
            name: what the character is called.
            report: quality figures that it carries.
            refine: fit named people to their own pictures.
            half: add networks in half precision.
            people: a data set whose named people are taken in place of the run's own.
            portrait: a run of the portrait generator, which draws people from seeds.
            note: told what is being done.

        Raises:
            CharacterError: it would not draw what the networks draw.
            RecipeError: this method takes nobody from elsewhere.
        """

    def compare(self, other: Task, sheet: Path) -> dict[str, Any]:
        """The same held-out pictures by two runs, side by side.

        Raises:
            CheckpointError: the other run is of another method.
        """


class Beginning(Task, Protocol):
    """A method whose networks travel in character files, so that a run can begin with one."""

    def begin_with(self, character: Character) -> tuple[Ancestor, ...]:
        """Take over the networks of a character, and return the runs that they come from, the oldest first.

        Raises:
            CheckpointError: they are of something else.
        """


class Looking(Task, Protocol):
    """A method that draws people of other data sets too."""

    def look_at(self, folder: Path, *, note: Note) -> None:
        """Ask about the people of another data set from now on.

        Raises:
            DatasetError: it does not fit.
        """


def refuse_what_is_not_finite(fabric: Fabric, precision: str, values: dict[str, Tensor], norm: Tensor) -> None:
    """Look at the terms of a step's loss and at its gradient, in one transfer from the device.

    Args:
        fabric: of the run; no process may go on where another one does not.
        precision: of the recipe. With `16-mixed` the loss scaler looks after gradients.
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
