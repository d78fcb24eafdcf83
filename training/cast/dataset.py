"""Writing a drawn data set, format 1: shards of lossless pictures, and two tables that label them.

Every picture depends only on the seed, its character and its number, so that the result is the same for any number
of workers and an interrupted run resumes where it stopped.
"""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.character.controls import PORTRAIT_CONTROLS
from runtime.composite.references import LAYERS, REFERENCES
from training.data.references import OPEN_POSE
from training.errors import DatasetError

from .controls_sampling import sample_controls
from .identity import Identity, sample_identity
from .landmarks import landmarks_of_picture, landmarks_of_references
from .named import NAMED_CAST
from .render import Picture, regions, render, render_layers

FORMAT: Final = 1
FRAMES_PER_SHARD: Final = 2000
Progress = Callable[[int, int], None]


class Plan(NamedTuple):
    """Parameters of a data set; equal plans give equal bytes."""

    identities: int  # invented characters, in addition to the named cast
    frames_per_identity: int
    named_frames: int  # frames of each named character; 0 leaves the named cast out
    size_px: int
    seed: int
    layers: bool = False  # with references of every character, and the layers of every picture

    @property
    def named(self) -> int:
        """Number of named characters, which come first."""
        return len(NAMED_CAST) if self.named_frames else 0

    @property
    def frames(self) -> int:
        """All pictures."""
        return self.named * self.named_frames + self.identities * self.frames_per_identity

    @property
    def shards(self) -> int:
        """Names of all shards; the last may be shorter."""
        return -(-self.frames // FRAMES_PER_SHARD)

    def told(self) -> dict[str, Any]:
        """The plan as stored; without `layers` in its original form."""
        return {key: value for key, value in self._asdict().items() if key != "layers" or value}

    def locate(self, index: int) -> tuple[int, int]:
        """Map a picture number to (identity, number of the picture within its identity)."""
        first = self.named * self.named_frames
        if index < first:
            return divmod(index, self.named_frames)
        identity, frame = divmod(index - first, self.frames_per_identity)
        return self.named + identity, frame


def identity_of(plan: Plan, index: int) -> tuple[str | None, Identity]:
    """Name (None if invented) and attributes of a character of the data set."""
    if index < plan.named:
        name = list(NAMED_CAST)[index]
        return name, NAMED_CAST[name]
    return None, sample_identity(_rng(plan.seed, 1, index))


def write_dataset(
    out: Path,
    *,
    identities: int,
    frames_per_identity: int,
    named_frames: int,
    size_px: int = 256,
    seed: int = 0,
    layers: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> bool:
    """Draw a data set into the folder `out`.

    The work happens in a hidden folder beside `out` that is renamed when done, so `out` is complete or absent.

    Args:
        out: the folder to create.
        identities: invented characters; the named cast is added when `named_frames` is not 0.
        frames_per_identity: pictures of each invented character.
        named_frames: pictures of each named character.
        size_px: side of the pictures.
        seed: determines the whole set.
        layers: also write references of every character and the layers of every picture; see
            `training.data.references`.
        workers: processes; the result does not depend on it.
        progress: called with (pictures done, pictures in all).

    Returns:
        True when it was drawn, False when the same complete data set already existed.

    Raises:
        DatasetError: `out` holds something else, a number is invalid, or the disk is full.
    """
    plan = Plan(identities, frames_per_identity, named_frames, size_px, seed, layers)
    if min(identities, frames_per_identity, named_frames, seed) < 0 or plan.frames < 1 or not 32 <= size_px <= 2048:
        raise DatasetError(
            f"no data set can be drawn from {plan}: counts must not be negative or all zero, size_px 32..2048."
        )
    if _already_there(out, plan):
        return False
    work = out.with_name(f".{out.name}.partial")
    try:
        _begin(work, plan)
        _draw_shards(work, plan, workers, progress)
        _finish(work, out, plan)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DatasetError(
                f"{work}: the disk is full. Free some space and run the same command again; it continues."
            ) from error
        raise DatasetError(
            f"{work}: cannot be written ({error}). Choose another folder or fix its permissions."
        ) from error
    return True


def _already_there(out: Path, plan: Plan) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{out} exists and is not a data set. Choose another folder or remove it.") from error
    if not isinstance(found, dict) or found.get("plan") != plan.told() or found.get("controls") != _control_table():
        raise DatasetError(f"{out} holds a data set with other settings. Choose another folder or remove it.")
    return True


def _begin(work: Path, plan: Plan) -> None:
    settings = work / "plan.json"
    wanted = json.dumps({"plan": plan.told(), "controls": _control_table()})
    if work.exists() and (not settings.is_file() or settings.read_text(encoding="utf-8") != wanted):
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    settings.write_text(wanted, encoding="utf-8")


def _draw_shards(work: Path, plan: Plan, workers: int, progress: Progress | None) -> None:
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, plan.frames)

    waiting: list[int] = []
    for shard in range(plan.shards):
        if (work / _rows_name(shard)).is_file():  # the rows are written last, so the shard is complete
            report(len(_span(plan, shard)))
        else:
            waiting.append(shard)
    if workers <= 1 or len(waiting) <= 1:
        for shard in waiting:
            report(_draw_shard(work, plan, shard))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(waiting)), mp_context=context) as pool:
        futures = [pool.submit(_draw_shard, work, plan, shard) for shard in waiting]
        try:
            for future in as_completed(futures):
                report(future.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _draw_shard(work: Path, plan: Plan, shard: int) -> int:
    rows: list[str] = []
    name = _shard_name(shard)
    partial = work / f"{name}.partial"
    who_index, who = -1, Identity()
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for index in _span(plan, shard):
            identity, frame = plan.locate(index)
            if identity != who_index:
                who_index, who = identity, identity_of(plan, identity)[1]
            controls = sample_controls(_rng(plan.seed, 2, identity, frame))
            # The tables keep five decimals; the picture is drawn from exactly the numbers written.
            listed = [round(float(v), 5) for v in controls]
            picture = render(who, np.array(listed), plan.size_px)
            file = f"{index:07d}.webp"
            _add(archive, file, picture)
            boxes = regions(who, np.array(listed), plan.size_px)
            row = {"shard": name, "file": file, "identity": identity, "controls": listed, "regions": boxes}
            if plan.layers:
                if frame == 0:
                    for reference, drawn in draw_references(who, plan.size_px).items():
                        _add(archive, _reference_name(identity, reference), drawn)
                row["landmarks"] = landmarks_of_picture(who, np.array(listed), plan.size_px)
                files = {layer: f"{index:07d}-{layer}.webp" for layer in LAYERS}
                row["layers"] = files
                for layer, drawn in render_layers(who, np.array(listed), plan.size_px // 2).items():
                    _add(archive, files[layer], drawn)
            rows.append(_line(row))
    partial.replace(work / name)
    table = work / _rows_name(shard)
    scratch = table.with_suffix(".partial")
    scratch.write_text("".join(rows), encoding="utf-8")
    scratch.replace(table)
    return len(rows)


def _finish(work: Path, out: Path, plan: Plan) -> None:
    with (work / "frames.jsonl").open("w", encoding="utf-8") as table:
        for shard in range(plan.shards):
            table.write((work / _rows_name(shard)).read_text(encoding="utf-8"))
    total = plan.named + plan.identities
    with (work / "identities.jsonl").open("w", encoding="utf-8") as table:
        for index in range(total):
            name, who = identity_of(plan, index)
            row: dict[str, Any] = {"identity": index, "name": name, "attributes": who.to_dict()}
            if plan.layers:
                row["references"] = {reference: _reference_name(index, reference) for reference in REFERENCES}
                row["landmarks"] = landmarks_of_references(who, OPEN_POSE, plan.size_px)
            table.write(_line(row))
    header = {
        "format": FORMAT,
        "name": "cast",
        "licence": "CC0-1.0",
        "author": "Bunraku contributors",
        "source": f"drawn by training.cast, seed {plan.seed}",
        "size_px": plan.size_px,
        "controls": _control_table(),
        "identities": total,
        "frames": plan.frames,
        "shards": [_shard_name(shard) for shard in range(plan.shards)],
        "seed": plan.seed,
        "plan": plan.told(),
    }
    (work / "dataset.json").write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    for shard in range(plan.shards):
        (work / _rows_name(shard)).unlink()
    (work / "plan.json").unlink()
    if out.exists():
        out.rmdir()
    work.replace(out)


def draw_references(who: Identity, size_px: int) -> dict[str, Picture]:
    """The reference pictures of a character, by the names in `REFERENCES`."""
    rest = render_layers(who, {}, size_px, whole=True)
    opened = render_layers(who, OPEN_POSE, size_px, layers=("inner", "head"), whole=True)
    # The mouth of one pose and the eyes of the other, inside the head at rest, which is open for eyes only.
    solid = rest["head"][..., 3]
    seen = np.maximum(solid, render_layers(who, {}, size_px, layers=("inner",))["inner"][..., 3])
    inner = Image.fromarray(_inside(opened["inner"], solid))
    inner.alpha_composite(Image.fromarray(_inside(rest["inner"], seen)))
    return {**rest, "inner": np.array(inner), "open": opened["head"]}


def _inside(picture: Picture, alpha: npt.NDArray[np.uint8]) -> Picture:
    return np.dstack([picture[..., :3], np.minimum(picture[..., 3], alpha)])


def _reference_name(identity: int, reference: str) -> str:
    return f"reference-{identity:07d}-{reference}.webp"


def _add(archive: zipfile.ZipFile, file: str, picture: Picture) -> None:
    # A fixed date keeps the bytes of a shard independent of the day it was drawn.
    archive.writestr(zipfile.ZipInfo(file, (1980, 1, 1, 0, 0, 0)), encode(picture))


def encode(picture: Picture) -> bytes:
    """Encode a picture as lossless WebP, keeping the colours of transparent pixels."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "WEBP", lossless=True, quality=0, method=0, exact=True)
    return stream.getvalue()


def _control_table() -> list[dict[str, Any]]:
    return [{"name": c.name, "minimum": c.minimum, "maximum": c.maximum, "rest": c.rest} for c in PORTRAIT_CONTROLS]


def _span(plan: Plan, shard: int) -> range:
    return range(shard * FRAMES_PER_SHARD, min((shard + 1) * FRAMES_PER_SHARD, plan.frames))


def _shard_name(shard: int) -> str:
    return f"shard-{shard:05d}.zip"


def _rows_name(shard: int) -> str:
    return f"shard-{shard:05d}.rows"


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The records of one table."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record: dict[str, Any] = json.loads(line)
            yield record
