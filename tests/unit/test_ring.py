"""The shared-memory ring: whole pictures or none, nothing left behind, no hostile data trusted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import struct
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from engine_bridge.avf.ring import PAGE, SLOTS, RingReader, RingWriter
from engine_bridge.avf.shared_memory import SharedMemory, remove_orphans
from engine_bridge.errors import FrameOvertaken, MessageRejected
from tests.conftest import RunProgram

SIZE = 100_000
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the names of shared memory")


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    writer = RingWriter(SIZE, session=2**63 - 1)
    yield writer
    writer.close()


@pytest.fixture
def reader(ring: RingWriter) -> Iterator[RingReader]:
    reader = RingReader(ring.name)
    yield reader
    reader.close()


def filled(value: int, size: int = SIZE) -> memoryview:
    return np.full(size, value, np.uint8).data


def test_what_is_written_is_read(ring: RingWriter, reader: RingReader) -> None:
    assert reader.session == 2**63 - 1
    for value in range(1, 20):
        slot, sequence = ring.write(filled(value, 77))
        assert (reader.copy(slot, sequence, 77) == value).all()
        assert (ring.last(77) == value).all()


def test_copy_stays_when_the_ring_goes_on(ring: RingWriter, reader: RingReader) -> None:
    first = reader.copy(*ring.write(filled(1)), SIZE)
    for value in range(2, 12):
        ring.write(filled(value))
    assert (first == 1).all()


def test_slot_that_was_overwritten_is_overtaken(ring: RingWriter, reader: RingReader) -> None:
    slot, sequence = ring.write(filled(1))
    for value in range(2, 2 + SLOTS):
        assert (reader.copy(slot, sequence, SIZE) == 1).all()
        newest = ring.write(filled(value))
    with pytest.raises(FrameOvertaken):
        reader.copy(slot, sequence, SIZE)
    assert (reader.copy(*newest, SIZE) == SLOTS + 1).all()


def test_nobody_ever_reads_half_a_picture(ring: RingWriter, reader: RingReader) -> None:
    """A writer far faster than the reader: every picture returned has a single colour."""
    told: list[tuple[int, int]] = [ring.write(filled(0))]
    stop = threading.Event()

    def write() -> None:
        value = 0
        while not stop.is_set():
            value = (value + 1) % 256
            told.append(ring.write(filled(value)))
            del told[:-1]

    thread = threading.Thread(target=write)
    thread.start()
    whole = 0
    try:
        while whole < 300:
            try:
                pixels = reader.copy(*told[-1], SIZE)
            except FrameOvertaken:
                continue
            assert (pixels == pixels[0]).all()
            whole += 1
    finally:
        stop.set()
        thread.join()


def test_reader_cannot_write(ring: RingWriter, reader: RingReader) -> None:
    assert not ring._memory.view.readonly
    if sys.platform == "linux":
        assert reader._memory._descriptor is not None
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(reader._memory._descriptor, b"x", PAGE)


@pytest.mark.parametrize(("slot", "size"), [(SLOTS, 1), (65535, 1), (0, SIZE + 1), (0, 2**40)])
def test_slots_and_sizes_that_the_ring_does_not_have(reader: RingReader, slot: int, size: int) -> None:
    with pytest.raises(MessageRejected) as caught:
        reader.copy(slot, 2, size)
    assert caught.value.code == "shm"


@pytest.mark.parametrize("name", ["", "/", "/bunraku-none", "/../etc/passwd", "/a/b", "x" * 40, "/bunraku-\x00"])
def test_invalid_names_are_refused(name: str) -> None:
    with pytest.raises(MessageRejected) as caught:
        RingReader(name)
    assert caught.value.code == "shm"


HEADS = {
    "magic": (b"BNRKRNG2", 1, 4, 16, PAGE),
    "version": (b"BNRKRNG1", 2, 4, 16, PAGE),
    "few slots": (b"BNRKRNG1", 1, 3, 16, PAGE),
    "many slots": (b"BNRKRNG1", 1, 61, 16, PAGE),
    "stride": (b"BNRKRNG1", 1, 4, 16, 100),
    "capacity": (b"BNRKRNG1", 1, 4, 2 * PAGE, PAGE),
    "cut off": (b"BNRKRNG1", 1, 4, 2**40, 2**40),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_memory_that_is_not_a_ring(head: tuple[bytes, int, int, int, int]) -> None:
    with SharedMemory.create(PAGE * 5) as memory:
        struct.pack_into("<8sIIQQQ", memory.view, 0, *head, 1)
        with pytest.raises(MessageRejected) as caught:
            RingReader(memory.name)
    assert caught.value.code == "shm"


@linux_only
@pytest.mark.parametrize("left", [PAGE + SIZE // 2, PAGE, 0])
def test_reader_of_a_truncated_ring_gets_an_error_and_survives(run_program: RunProgram, left: int) -> None:
    """In a separate program: a reader that can be killed would end the test run."""
    code = (
        "import os; from engine_bridge.avf.ring import RingReader, RingWriter\n"
        "from engine_bridge.errors import MessageRejected\n"
        f"ring = RingWriter({SIZE}, session=1); reader = RingReader(ring.name)\n"
        f"pixels = memoryview(bytes({SIZE})); where = ring.write(pixels)\n"
        f"assert reader.copy(*where, {SIZE}).size == {SIZE}\n"
        f"os.truncate('/dev/shm' + ring.name, {left})\n"
        f"try: reader.copy(*where, {SIZE})\n"
        "except MessageRejected as error: print(error.code, error)\n"
        "try: ring.write(pixels)\n"
        "except OSError as error: print('writer', error)\n"
        "ring.close()"
    )
    ended = run_program([sys.executable, "-c", code], timeout_s=60)
    assert ended.returncode == 0, (ended.returncode, ended.stderr)
    assert ended.stdout.splitlines()[0].startswith("shm ")
    assert "truncated" in ended.stdout.splitlines()[0]
    assert "truncated by another program" in ended.stdout.splitlines()[1]


@linux_only
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_not_memory_is_refused_without_waiting_for_it(tmp_path: Path, kind: str) -> None:
    place = Path("/dev/shm") / f"bunraku-{os.getpid()}"
    (tmp_path / "ring").write_bytes(bytes(5 * PAGE))
    if kind == "link":
        place.symlink_to(tmp_path / "ring")
    else:
        (os.mkfifo if kind == "pipe" else os.mkdir)(place)
    try:
        with pytest.raises(MessageRejected) as caught:
            RingReader(f"/{place.name}")
        assert caught.value.code == "shm"
    finally:
        place.rmdir() if kind == "folder" else place.unlink()


@linux_only
def test_memory_is_reserved_when_a_ring_is_made(ring: RingWriter) -> None:
    about = (Path("/dev/shm") / ring.name[1:]).stat()
    assert about.st_blocks * 512 >= about.st_size >= PAGE + SLOTS * SIZE


@linux_only
def test_ring_that_does_not_fit_is_refused_and_leaves_nothing(run_program: RunProgram) -> None:
    """Uses a limit on file size, which needs no root, unlike a small /dev/shm."""
    code = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "from engine_bridge.avf.ring import RingWriter; before = set(os.listdir('/dev/shm'))\n"
        "try: RingWriter(1 << 20, session=1)\n"
        "except OSError as error: print(error)\n"
        "print([name for name in set(os.listdir('/dev/shm')) - before if name.startswith('bunraku-')])"
    )
    ended = run_program([sys.executable, "-c", code], timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert "too large" in ended.stdout.splitlines()[0]
    assert ended.stdout.splitlines()[1] == "[]"


def test_too_small_to_be_a_ring() -> None:
    with SharedMemory.create(100) as memory, pytest.raises(MessageRejected, match="100 bytes"):
        RingReader(memory.name)


@linux_only
def test_only_this_user_may_open_it_and_nothing_is_left(ring: RingWriter) -> None:
    path = Path("/dev/shm") / ring.name[1:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ring.close()
    assert not path.exists()
    ring.close()


def hold_a_ring(pipe: Connection) -> None:
    pipe.send(RingWriter(SIZE, session=1).name)
    pipe.recv()


@linux_only
def test_ring_of_a_killed_producer_is_removed_and_that_of_a_living_one_is_not(ring: RingWriter) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_a_ring, args=(theirs,))
    process.start()
    assert ours.poll(60)
    left = Path("/dev/shm") / ours.recv()[1:]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert left.exists()
    assert remove_orphans() >= 1
    assert not left.exists()
    assert (Path("/dev/shm") / ring.name[1:]).exists()
