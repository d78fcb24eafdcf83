"""Decoded pictures: beside the data or in the user's cache, complete or absent, never stale, bounded."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pytest

from training.cast import write_dataset
from training.data import picture_cache
from training.data.dataset import open_dataset
from training.data.picture_cache import VARIABLE, kept_file
from training.errors import DatasetError


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "cast"
    write_dataset(out, identities=3, frames_per_identity=2, named_frames=0, size_px=32, seed=5, workers=1)
    return out


@pytest.fixture
def data(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "data", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "users"))
    return tmp_path / "users"


def refuse_writing(data: Path) -> None:
    """Nothing can be created in the folder, not even by root: a file takes its place."""
    (data / ".cache").write_text("in the way")


def write(content: bytes) -> Callable[[Path], None]:
    """A fake decoder that produces these bytes."""

    def fill(path: Path) -> None:
        path.write_bytes(content)

    return fill


def test_data_that_cannot_be_written_to_are_used_from_the_users_cache(data: Path, cache: Path) -> None:
    expected = np.array(open_dataset(data, 32, workers=1).pictures)
    shutil.rmtree(data / ".cache")
    refuse_writing(data)
    said: list[str] = []
    for _ in range(2):
        assert (open_dataset(data, 32, workers=1, note=said.append).pictures == expected).all()
    assert len(said) == 2
    assert str(cache) in said[0]
    assert len(list(cache.glob("*.u8"))) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_such_a_one(data: Path, cache: Path) -> None:
    data.chmod(0o555)
    try:
        assert len(open_dataset(data, 32, workers=1).pictures) == 6
    finally:
        data.chmod(0o755)


def test_without_any_place_the_error_says_how_to_give_one(data: Path, cache: Path) -> None:
    refuse_writing(data)
    cache.write_text("in the way")
    with pytest.raises(DatasetError, match=f"Set {VARIABLE} to a folder"):
        open_dataset(data, 32, workers=1)


def test_other_pictures_under_the_same_labels_are_decoded_again(data: Path) -> None:
    first = np.array(open_dataset(data, 32, workers=1).pictures)
    shard = data / "shard-00000.zip"
    with zipfile.ZipFile(shard) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = sorted(members)
    members[names[0]], members[names[1]] = members[names[1]], members[names[0]]
    with zipfile.ZipFile(shard, "w") as archive:
        for name in names:
            archive.writestr(name, members[name])
    second = open_dataset(data, 32, workers=1).pictures
    assert (second[0] == first[1]).all()
    assert len(list((data / ".cache").glob("*.u8"))) == 1  # the older state is gone


def test_a_full_disk_beside_the_data_moves_on_and_leaves_nothing(data: Path, cache: Path) -> None:
    tried = []

    def fill(path: Path) -> None:
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(b"x" * 10)

    said: list[str] = []
    assert kept_file(data, "k" * 64, "32", 10, fill, note=said.append).parent == cache
    assert "No space left" in said[0]
    assert [path.suffix for path in (data / ".cache").iterdir()] == [".lock"]


def test_full_disks_everywhere_are_reported_with_the_room_needed(data: Path, cache: Path) -> None:
    def fill(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DatasetError, match=r"not enough disk space for 0\.0 GiB.*No space left.*Free some space"):
        kept_file(data, "k" * 64, "32", 10, fill, note=print)


def _fill_forever(path: Path) -> None:
    path.write_bytes(b"half")
    print("begun", flush=True)  # noqa: T201
    time.sleep(60)


def _make_forever(data: Path) -> None:
    kept_file(data, "k" * 64, "32", 8, _fill_forever, note=print)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_files_of_a_killed_process_are_never_trusted(data: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_make_forever, args=(data,))
    process.start()
    partial = data / ".cache" / f"{'k' * 32}-32.u8.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.read_bytes()[:4] == b"half") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert partial.exists()
    kept_file(data, "other" * 8, "64", 8, write(b"anything"), note=print)
    assert not partial.exists()  # its lock is free
    path = kept_file(data, "k" * 64, "32", 8, write(b"complete"), note=print)
    assert path.read_bytes() == b"complete"


def test_two_processes_do_not_decode_the_same_pictures(data: Path) -> None:
    name = f"{'k' * 32}-32.u8"
    (data / ".cache").mkdir()
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        (data / ".cache" / name).write_bytes(b"finished")  # by the other process, which now lets go
        lock.release()

    with filelock.FileLock(data / ".cache" / f"{name}.lock", thread_local=False) as lock:
        path = kept_file(data, "k" * 64, "32", 8, lambda p: pytest.fail("decoded twice"), note=tell)
    assert path.read_bytes() == b"finished"
    assert "waiting" in said[0]


def test_the_users_cache_is_bounded_and_loses_what_was_unused_longest(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_writing(data)
    monkeypatch.setattr(picture_cache, "LIMIT_BYTES", 25)
    for index, letter in enumerate("abc"):
        path = kept_file(data, letter * 64, "32", 10, write(b"x" * 10), note=print)
        os.utime(path, (1000 + index, 1000 + index))
        if letter == "b":  # used again
            os.utime(cache / f"{'a' * 32}-32.u8", (2000, 2000))
    assert sorted(path.name[0] for path in cache.glob("*.u8")) == ["a", "c"]
