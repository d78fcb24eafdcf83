"""Data sets: pictures with an identity and controls, decoded once and then read by index.

The format is documented in docs/training.md: `dataset.json`,
`identities.jsonl`, `frames.jsonl` and stored zip files of pictures.
"""

from __future__ import annotations

import encodings.cp437  # noqa: F401  names in zip files; later a process may have lost the right to load it
import hashlib
import io
import math
import os
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.character.names import unfit_names
from training.data.control_ranges import ControlRange, check_ranges
from training.data.picture_cache import Note, kept_file
from training.errors import DatasetError, RecipeError
from training.settings import Data
from training.stopping import Stopped, forget_signals

REGIONS = ("eyeLeft", "eyeRight", "mouth")

Uint8 = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]

TORN_SHARD = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)  # the last: encrypted
DECODED_AT_A_TIME = 200  # pictures; a stop signal waits for this many
LARGEST = float(np.finfo(np.float32).max)


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """`dataset.json`. Unknown keys are ignored."""

    format: int
    name: str
    licence: str
    author: str
    source: str
    size_px: int
    controls: tuple[ControlRange, ...]
    identities: int
    frames: int
    shards: tuple[str, ...]
    notes: tuple[str, ...] = ()  # changes and anomalies of an import, for people


Points = tuple[tuple[float, float] | None, ...]


class IdentityRow(msgspec.Struct, frozen=True):
    """A line of `identities.jsonl`. References are in the shard of the identity's first picture."""

    identity: int
    name: str | None = None
    attributes: dict[str, Any] = {}
    references: dict[str, str] = {}  # files by name, see `training.data.references`
    landmarks: dict[str, Points] = {}  # x, y in pixels, by reference; see `training.data.landmarks`


class FrameRow(msgspec.Struct, frozen=True):
    """A line of `frames.jsonl`: controls in the order of `dataset.json`, boxes as x0, y0, x1, y1 in pixels."""

    shard: str
    file: str
    identity: int
    controls: tuple[float, ...]
    regions: dict[str, tuple[int, int, int, int]] = {}
    layers: dict[str, str] = {}  # files by name, at half the size; see `training.data.references`
    landmarks: dict[str, Points] = {}  # where the same points are in the picture, by the reference that shows them best


@dataclass(frozen=True)
class Dataset:
    """A data set in memory, its pictures mapped from a cache file.

    Attributes:
        manifest: contents of `dataset.json`.
        identities: one row per identity, by number.
        identity: int32 [M], identity of each frame.
        controls: float32 [M, c], natural units.
        regions: float32 [M, 3, 4], boxes of `REGIONS` in 0..1 of the picture; all zero if absent.
        pictures: uint8 [M, size_px, size_px, 4], premultiplied RGBA, mapped read-only.
        size_px: size of `pictures`.
        digest: sha256 of the labels, in hex.
    """

    manifest: Manifest
    identities: tuple[IdentityRow, ...]
    identity: npt.NDArray[np.int32]
    controls: npt.NDArray[np.float32]
    regions: npt.NDArray[np.float32]
    pictures: Uint8
    size_px: int
    digest: str

    @property
    def control_ranges(self) -> list[tuple[float, float, float]]:
        """(minimum, maximum, rest) of each control."""
        return [(c.minimum, c.maximum, c.rest) for c in self.manifest.controls]

    @property
    def named(self) -> dict[str, int]:
        """Identities with a name."""
        return {row.name: row.identity for row in self.identities if row.name}


def open_dataset(
    folder: Path, size_px: int, *, workers: int = 2, progress: Progress | None = None, note: Note = lambda _: None
) -> Dataset:
    """Read a data set's labels and map its pictures at one size, decoding them on first use.

    Args:
        folder: holds `dataset.json`.
        size_px: wanted size; the stored size or a power-of-two fraction of it.
        workers: processes for decoding.
        progress: called with (pictures done, pictures in all) while decoding.
        note: told where the decoded pictures are, if not beside the data.

    Raises:
        DatasetError: anything is missing, unreadable, or inconsistent with the labels.
    """
    manifest, identities, rows, digest = read_labels(folder)
    if size_px > manifest.size_px or manifest.size_px % size_px:
        raise DatasetError(
            f"{folder} has pictures of {manifest.size_px} px, which cannot become {size_px} px. "
            f"Use a recipe whose sizes are {manifest.size_px} px divided by 1, 2, 4 …"
        )
    pictures = map_pictures(
        folder,
        [(row.shard, row.file) for row in rows],
        key=content_key(folder, manifest, digest),
        kind=str(size_px),
        stored_px=manifest.size_px,
        size_px=size_px,
        workers=workers,
        progress=progress,
        note=note,
    )
    regions = np.zeros((len(rows), len(REGIONS), 4), np.float32)
    for index, row in enumerate(rows):
        for region, box in row.regions.items():
            if region in REGIONS:
                regions[index, REGIONS.index(region)] = box
    return Dataset(
        manifest,
        identities,
        np.array([row.identity for row in rows], np.int32),
        np.array([row.controls for row in rows], np.float32),
        regions / np.float32(manifest.size_px),
        pictures,
        size_px,
        digest,
    )


def read_labels(folder: Path) -> tuple[Manifest, tuple[IdentityRow, ...], list[FrameRow], str]:
    """Read and check the three label files of a data set.

    Raises:
        DatasetError: a file is missing, a line is invalid, or two lines contradict each other.
    """
    if not (folder / "dataset.json").is_file():
        raise DatasetError(f"{folder} is not a data set: dataset.json is missing. Make one with bunraku-train data.")
    try:
        manifest = msgspec.json.decode((folder / "dataset.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{folder / 'dataset.json'}: {error}. Make the data set again.") from error
    if manifest.format != 1:
        raise DatasetError(f"{folder} has data format {manifest.format}; this version reads format 1. Update Bunraku.")
    check_ranges(manifest.controls, str(folder / "dataset.json"))
    identities = tuple(_read_lines(folder / "identities.jsonl", IdentityRow))
    rows = _read_lines(folder / "frames.jsonl", FrameRow)
    if not rows:
        raise DatasetError(f"{folder} has no pictures: frames.jsonl is empty. Make the data set again.")
    for file, found, listed in (
        ("identities.jsonl", len(identities), manifest.identities),
        ("frames.jsonl", len(rows), manifest.frames),
    ):
        if found != listed:
            raise DatasetError(
                f"{folder / file} has {found} lines, but dataset.json says {listed}. Copy or make the data set again."
            )
    if [row.identity for row in identities] != list(range(len(identities))):
        raise DatasetError(f"{folder / 'identities.jsonl'} must number its lines 0, 1, 2 …")
    if reason := unfit_names([row.name for row in identities if row.name]):  # a character could not be written
        raise DatasetError(f"{folder / 'identities.jsonl'}: {reason}. Change the names there.")
    seen: set[tuple[str, str]] = set()
    shards = set(manifest.shards)
    for number, row in enumerate(rows, 1):
        where = f"{folder / 'frames.jsonl'}, line {number}"
        if (row.shard, row.file) in seen:
            raise DatasetError(f"{where}: {row.shard}/{row.file} appears twice. Give every picture its own name.")
        seen.add((row.shard, row.file))
        if row.shard not in shards:
            raise DatasetError(f"{where}: the shard {row.shard} is not listed in dataset.json.")
        if not 0 <= row.identity < len(identities):
            raise DatasetError(f"{where}: identity {row.identity} is not in identities.jsonl.")
        if len(row.controls) != len(manifest.controls) or not all(map(_fits, row.controls)):
            raise DatasetError(f"{where}: needs {len(manifest.controls)} finite control values.")
    _check_values(folder, manifest, rows)
    digest = hashlib.sha256()
    for name in ("dataset.json", "identities.jsonl", "frames.jsonl"):
        digest.update((folder / name).read_bytes())
    return manifest, identities, rows, digest.hexdigest()


def _check_values(folder: Path, manifest: Manifest, rows: list[FrameRow]) -> None:
    values = np.array([row.controls for row in rows])
    low = np.array([control.minimum for control in manifest.controls])
    high = np.array([control.maximum for control in manifest.controls])
    slack = 1e-3 * (high - low)
    outside = (values < low - slack) | (values > high + slack)
    if outside.any():
        row, index = (int(place[0]) for place in np.nonzero(outside))
        control = manifest.controls[index]
        raise DatasetError(
            f"{folder / 'frames.jsonl'}, line {row + 1}: {control.name} is {values[row, index]:g}, outside its range "
            f"{control.minimum:g} to {control.maximum:g}. Make the data set again."
        )


def _fits(number: float) -> bool:
    """Whether it stays finite as float32."""
    return abs(number) <= LARGEST


def _read_lines(path: Path, row_type: Any) -> list[Any]:
    decoder = msgspec.json.Decoder(row_type)
    rows = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    rows.append(decoder.decode(line))
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise DatasetError(f"{path}, line {number}: {error}. Fix or remove that line.") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    return rows


def content_key(folder: Path, manifest: Manifest, digest: str) -> str:
    """A key that changes with the labels and with any picture, by the checksums in the shards' directories.

    Raises:
        DatasetError: a shard cannot be read.
    """
    content = hashlib.sha256(digest.encode())
    for shard in manifest.shards:
        try:
            with zipfile.ZipFile(folder / shard) as archive:
                for member in archive.infolist():
                    content.update(f"{member.filename} {member.file_size} {member.CRC}\n".encode())
        except TORN_SHARD as error:
            raise DatasetError(f"{folder / shard} cannot be read: {error}. Make the data set again.") from error
    return content.hexdigest()


def map_pictures(
    folder: Path,
    files: Sequence[tuple[str, str]],
    *,
    key: str,
    kind: str,
    stored_px: int,
    size_px: int,
    workers: int = 2,
    progress: Progress | None = None,
    note: Note = lambda _: None,
) -> Uint8:
    """Map pictures of a data set, decoding them on first use.

    Args:
        folder: of the data set.
        files: shard and name of each.
        key: changes whenever a picture does.
        kind: distinguishes these pictures from others of the same data set.
        stored_px: their size in the shards.
        size_px: wanted size.
        workers: processes for decoding.
        progress: called with (pictures done, pictures in all) while decoding.
        note: told where the decoded pictures are, if not beside the data.

    Returns:
        uint8 [len(files), size_px, size_px, 4], premultiplied RGBA, mapped read-only.

    Raises:
        DatasetError: one of them is missing or damaged, or the disk is full.
    """
    shape = (len(files), size_px, size_px, 4)
    path = kept_file(
        folder,
        key,
        kind,
        math.prod(shape),
        lambda target: _decode_all(folder, files, stored_px, target, shape, workers, progress),
        note=note,
    )
    return np.memmap(path, np.uint8, "r", shape=shape)


def _decode_all(
    folder: Path,
    files: Sequence[tuple[str, str]],
    stored_px: int,
    target: Path,
    shape: tuple[int, int, int, int],
    workers: int,
    progress: Progress | None,
) -> None:
    by_shard: dict[str, list[int]] = {}
    for index, (shard, _) in enumerate(files):
        by_shard.setdefault(shard, []).append(index)
    chunks = []
    for shard, indices in by_shard.items():
        for start in range(0, len(indices), DECODED_AT_A_TIME):
            part = indices[start : start + DECODED_AT_A_TIME]
            chunks.append((folder / shard, [files[index][1] for index in part], part, target, shape, stored_px))
    done = 0
    with ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(os.getpid(),)) as pool:
        try:
            for count in pool.map(_decode_some, chunks):
                done += count
                if progress:
                    progress(done, len(files))
        except BrokenProcessPool as error:
            raise DatasetError(
                f"A process that decodes the pictures of {folder} was killed. If memory ran out, close other "
                "programs; then run the same command again."
            ) from error
        except (KeyboardInterrupt, Stopped):
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker(parent: int) -> None:
    """Leave signals to the parent, and exit with it, however it ends."""
    forget_signals()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if sys.platform != "win32":  # where orphans keep their parent's pid
        threading.Thread(target=watch, daemon=True).start()


def _decode_some(chunk: tuple[Path, list[str], list[int], Path, tuple[int, int, int, int], int]) -> int:
    shard, files, indices, target, shape, stored_px = chunk
    out = np.memmap(target, np.uint8, "r+", shape=shape)
    try:
        with zipfile.ZipFile(shard) as archive:
            for file, index in zip(files, indices, strict=True):
                try:
                    picture = decode_picture(archive.read(file), stored_px)
                except (KeyError, zlib.error, OSError, ValueError) as error:
                    raise DatasetError(f"{shard}: {file} cannot be used: {error}. Make the data set again.") from error
                out[index] = shrink_premultiplied(picture, shape[1])
    except TORN_SHARD as error:
        raise DatasetError(f"{shard} cannot be read: {error}. Make the data set again.") from error
    return len(files)


def decode_picture(data: bytes, size_px: int) -> Uint8:
    """Decode one stored picture.

    Returns:
        uint8 [size_px, size_px, 4], straight RGBA.

    Raises:
        ValueError: it is not of that size.
        OSError: it is not a picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.size != (size_px, size_px):
                raise ValueError(f"it is {image.width}x{image.height} px instead of {size_px}x{size_px}")
            # WebP omits the alpha of a fully opaque picture. Anything else must be converted to plain
            # pixels by an import, which can report it.
            plain = image.mode in ("RGB", "RGBA") and "transparency" not in image.info
            if not plain or getattr(image, "n_frames", 1) > 1 or image.getexif().get(0x0112, 1) != 1:
                raise ValueError(f"it is not one upright RGBA picture of 8 bits (its pixels are {image.mode})")
            return np.asarray(image.convert("RGBA"))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None


def shrink_premultiplied(straight: Uint8, size_px: int) -> Uint8:
    """Premultiply and average blocks of pixels, so that clear pixels do not stain the edges.

    Args:
        straight: uint8 [S, S, 4].
        size_px: S divided by an integer.

    Returns:
        uint8 [size_px, size_px, 4], premultiplied.
    """
    pixels = straight.astype(np.uint16)
    pixels[..., :3] = (pixels[..., :3] * pixels[..., 3:] + 127) // 255
    factor = straight.shape[0] // size_px
    if factor > 1:
        blocks = pixels.reshape(size_px, factor, size_px, factor, 4).astype(np.uint32)
        pixels = ((blocks.sum((1, 3)) + factor**2 // 2) // factor**2).astype(np.uint16)
    return pixels.astype(np.uint8)


@dataclass(frozen=True)
class Split:
    """Indices of frames, by purpose.

    Attributes:
        train: frames for training.
        unseen_controls: held-out frames of trained identities.
        unseen_identities: all frames of held-out identities.
    """

    train: npt.NDArray[np.int64]
    unseen_controls: npt.NDArray[np.int64]
    unseen_identities: npt.NDArray[np.int64]


def split_frames(dataset: Dataset, *, holdout_identities: float, holdout_frames: float) -> Split:
    """Split frames by the hash of their identity and index, so that the split never depends on a run.

    Named identities are never held out entirely. At least two frames of a trained identity stay in training.
    """
    named = set(dataset.named.values())
    train: list[int] = []
    unseen_controls: list[int] = []
    unseen_identities: list[int] = []
    order = np.argsort(dataset.identity, kind="stable")
    starts = np.searchsorted(dataset.identity[order], np.arange(len(dataset.identities) + 1))
    for identity in range(len(dataset.identities)):
        frames = order[starts[identity] : starts[identity + 1]].tolist()
        if identity not in named and _unit_hash("identity", identity) < holdout_identities:
            unseen_identities += frames
            continue
        held = [frame for frame in frames if _unit_hash("frame", frame) < holdout_frames]
        held = held[: max(0, len(frames) - 2)]
        unseen_controls += held
        train += sorted(set(frames) - set(held))
    return Split(*(np.array(part, np.int64) for part in (train, unseen_controls, unseen_identities)))


def split_for_training(folder: Path, dataset: Dataset, settings: Data) -> Split:
    """The split requested by a recipe.

    Raises:
        RecipeError: it leaves too little to train on.
    """
    split = split_frames(
        dataset, holdout_identities=settings.holdout_identities, holdout_frames=settings.holdout_frames
    )
    if len(split.train) < 2:
        raise RecipeError(f"{folder} leaves {len(split.train)} pictures to train on; make more, or hold out fewer.")
    return split


def _unit_hash(kind: str, number: int) -> float:
    digest = hashlib.blake2b(f"{kind} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


class GroupSampler:
    """Draws batches of groups: several frames of one identity, side by side.

    A batch is a function of (seed, step, rank) alone, so a resumed run sees the same as an uninterrupted one.
    """

    def __init__(self, dataset: Dataset, frames: npt.NDArray[np.int64], *, each: int = 2) -> None:
        """Draw from these frames, `each` of one identity."""
        self._each = each
        identity = dataset.identity[frames]
        order = np.argsort(identity, kind="stable")
        ids, starts, counts = np.unique(identity[order], return_index=True, return_counts=True)
        self._groups = [frames[order[a : a + n]] for a, n in zip(starts, counts, strict=True)]
        named = set(dataset.named.values())
        self._named = np.array([g for g, i in enumerate(ids) if int(i) in named], np.int64)
        self._some_named = 0 < len(self._named) < len(ids)

    def batch(self, size: int, *, named_share: float, seed: int, step: int, rank: int = 0) -> npt.NDArray[np.int64]:
        """Frame indices [size], `each` in a row of one identity (with repeats if it has fewer).

        Args:
            size: of the batch, a multiple of `each`.
            named_share: probability that a group is of a named identity, if there are both kinds.
            seed: of the run.
            step: number of the batch.
            rank: number of the process.
        """
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, (step << 8) + rank], np.uint64)))
        chosen: list[int] = []
        for _ in range(size // self._each):
            if self._some_named and rng.random() < named_share:
                group = self._groups[int(rng.choice(self._named))]
            else:
                group = self._groups[int(rng.integers(len(self._groups)))]
            chosen += rng.choice(group, self._each, replace=len(group) < self._each).tolist()
        return np.array(chosen, np.int64)
