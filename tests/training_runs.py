"""Contract of every training method's runs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from rich.console import Console

from training.loop import fit
from training.recipe import load_recipe

TRAIN = [sys.executable, "-m", "training.cli"]
# One thread: these networks are too small to share, and the machine may be busy.
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def draw_tiny_cast(folder: Path) -> Path:
    """Draw the data of the recipe `tiny` into `datasets/tiny` of a working directory, and return that directory."""
    size = ["--size", "64", "--identities", "12", "--frames", "4", "--named-frames", "6", "--workers", "1"]
    command = [*TRAIN, "data", "cast", "--out", "datasets/tiny", *size]
    subprocess.run(command, cwd=folder, env={**os.environ, **ENVIRONMENT}, check=True, timeout=120, capture_output=True)
    return folder


def check_that_it_goes_on(recipe: str, settings: tuple[str, ...], finished: Path, copy: Path) -> None:
    """A run stopped after its first stage ends with the weights of an uninterrupted one, bit for bit.

    Args:
        recipe: name.
        settings: of the run.
        finished: the folder of an uninterrupted run.
        copy: a folder to resume in.
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
