"""Sheets that show what a generator can do: people, controls, walks, blinks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data.control_ranges import sweep_controls
from training.decoder.export import Trained, named_latents
from training.decoder.pictures import draw
from training.errors import CheckpointError
from training.sheets import write_sheet

Float32 = npt.NDArray[np.float32]


def write_gallery(trained: Trained, folder: Path, *, seed: int, truncation_psi: float) -> list[Path]:
    """Write `identities.png`, `named.png`, `sweep.png`, `interpolation.png` and `blink.png`.

    Args:
        trained: an opened run.
        folder: created if absent.
        seed: of the sampled identities.
        truncation_psi: factor on `z`; below 1 it samples more average people.

    Returns:
        The files, in that order; without a mapping there are no identities to sample, and with one identity no walk.
    """
    generator, dataset = trained.networks.generator_ema, trained.dataset
    people = named_latents(trained, refine=False)
    named = torch.stack(list(people.values()))
    names = [control.name for control in dataset.manifest.controls]
    rest = np.array([[r[2] for r in dataset.control_ranges]], np.float32)
    files = []

    if trained.networks.mapping is not None and len(dataset.identities) > 1:
        w = sample_identities(trained, 64, seed=seed, truncation_psi=truncation_psi)
        files.append(folder / "identities.png")
        write_sheet(files[-1], draw(generator, w, np.repeat(rest, 64, 0)), columns=8)

    files.append(folder / "named.png")
    write_sheet(files[-1], draw(generator, named, np.repeat(rest, len(named), 0)), columns=6)

    files.append(folder / "sweep.png")
    pictures = draw(generator, named[:1], sweep_controls(dataset.control_ranges, 5))
    write_sheet(files[-1], pictures[:, ::2, ::2], columns=10, row_labels=names[::2])

    if len(named) > 1:
        files.append(folder / "interpolation.png")
        pairs = [(0, len(named) // 2), (1, len(named) - 1), (2, len(named) // 3), (0, 1)]
        amount = torch.linspace(0, 1, 8)[:, None]
        walk = torch.cat([torch.lerp(named[a], named[b % len(named)], amount) for a, b in pairs])
        write_sheet(files[-1], draw(generator, walk, np.repeat(rest, len(walk), 0)), columns=8)

    lids = [index for index, name in enumerate(names) if name.startswith("eyeBlink")]
    if lids:
        files.append(folder / "blink.png")
        blink = np.repeat(rest, 8, 0)
        blink[:, lids] = np.array([0, 0.3, 0.7, 1, 1, 0.75, 0.35, 0], np.float32)[:, None]
        who = named[: min(3, len(named))]
        rows = [draw(generator, w[None], blink) for w in who]
        write_sheet(files[-1], np.concatenate(rows), columns=8)
    return files


@torch.no_grad()
def sample_identities(trained: Trained, count: int, *, seed: int, truncation_psi: float) -> Tensor:
    """Latents of new identities: [count, w_dim].

    Raises:
        CheckpointError: the run has no mapping yet.
    """
    mapping = trained.networks.mapping
    if mapping is None:
        raise CheckpointError("This checkpoint has no latent prior yet. Let the run finish.")
    z = torch.randn(count, mapping.z_dim, generator=torch.Generator().manual_seed(seed))
    w: Tensor = mapping(truncation_psi * z)
    return w
