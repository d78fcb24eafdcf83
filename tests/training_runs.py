"""What every method of training promises of its runs, asked of one."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import torch
from rich.console import Console

from training.loop import fit
from training.recipe import load_recipe


def check_that_it_goes_on(recipe: str, settings: tuple[str, ...], finished: Path, copy: Path) -> None:
    """A run that was stopped after its first stage ends with the weights of one that was not, bit for bit.

    Args:
        recipe: name.
        settings: of the run.
        finished: the folder of one that was not stopped.
        copy: a folder to go on in.
    """
    shutil.copytree(finished, copy)
    (copy / "final.pt").unlink()
    shutil.copy(copy / "stage-1.pt", copy / "checkpoint.pt")
    fit(load_recipe(recipe, settings), copy, workers=1, console=Console(file=io.StringIO()))
    whole, again = (torch.load(path / "final.pt", weights_only=True)["networks"] for path in (finished, copy))
    assert whole.keys() == again.keys()
    assert all(
        torch.equal(tensor, again[network][name]) for network in whole for name, tensor in whole[network].items()
    )
