"""`bunraku render` as users start it: films, pictures, interruptions, a full disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine_bridge import side_by_side
from runtime.sinks.films import ffmpeg_path
from tests.bunraku_program import BUNRAKU, CARD, ENVIRONMENT, NOWHERE, last_line, run, write_take
from tests.conftest import RunProgram
from tests.tiny_character import write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("character") / "tiny.bunraku", side=64)


@pytest.fixture
def take(tmp_path: Path) -> Path:
    return write_take(tmp_path / "take.jsonl")


def test_what_was_recorded_as_controls_renders(run_program: RunProgram, take: Path, tmp_path: Path) -> None:
    card = ["--engine", "synthetic"]
    run(
        run_program,
        *CARD,
        *NOWHERE,
        "--seconds",
        "1",
        "--driver",
        f"recording:{take}",
        "--record",
        tmp_path / "again.jsonl",
    )
    run(
        run_program,
        "render",
        *card,
        "--controls",
        tmp_path / "again.jsonl",
        "--out",
        tmp_path / "frames",
        "--fps",
        "10",
    )
    pictures = sorted((tmp_path / "frames").glob("*.png"))
    assert len(pictures) >= 5
    with Image.open(pictures[0]) as picture:
        assert picture.mode == "RGBA"
        assert "Test card" in picture.info["Description"]


def test_rendering_twice_gives_the_same_pictures(
    run_program: RunProgram, tiny: Path, take: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        out, _ = run(
            run_program, "render", tiny, "--engine", "onnxruntime", "--threads", "1", "--controls", take,
            "--out", tmp_path / name, "--fps", "10", "--identity", "7", "--json",
        )  # fmt: skip
        assert last_line(out)["frames"] == 10
    for picture in sorted((tmp_path / "one").iterdir()):
        assert picture.read_bytes() == (tmp_path / "two" / picture.name).read_bytes()


def test_a_film_of_the_real_recording(run_program: RunProgram, shared_data: Path, tmp_path: Path) -> None:
    recording = shared_data / "driving" / "livelinkface" / "alex_rom_3.csv"
    render = [
        "render",
        "--engine",
        "synthetic",
        "--controls",
        recording,
        "--start",
        "20",
        "--seconds",
        "2",
        "--neutral",
        "median",
    ]
    run(run_program, *render, "--out", tmp_path / "film.mp4", "--background", "#ff0000")
    run(run_program, *render, "--out", tmp_path / "film.webp", "--fps", "10")
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames >= 10
        assert film.size == (256, 256)
        assert b"Test card" in film.info["xmp"]
        first = np.asarray(film.convert("RGBA"))
        assert first[..., 3].min() == 0
        assert first[..., 3].max() == 255
    decoded = subprocess.run(
        [ffmpeg_path(), "-v", "error", "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    pictures = np.frombuffer(decoded.stdout, np.uint8).reshape(-1, 256, 256, 3)
    assert len(pictures) == 60
    corner = pictures[0, 100, 2]
    assert corner[0] > 230
    assert corner[1:].max() < 30
    assert not np.array_equal(pictures[0], pictures[30])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["film.mp4", "film.webp"]


def test_a_film_can_carry_alpha_beside_the_colour(run_program: RunProgram, take: Path, tmp_path: Path) -> None:
    render = ["render", "--engine", "synthetic", "--controls", take, "--fps", "10"]
    run(run_program, *render, "--out", tmp_path / "film.mp4", "--layout", "side-by-side")
    run(run_program, *render, "--out", tmp_path / "frames")
    decoded = subprocess.run(
        [ffmpeg_path(), "-v", "error", "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    films = np.frombuffer(decoded.stdout, np.uint8).reshape(-1, 256, 512, 3)
    pictures = sorted((tmp_path / "frames").iterdir())
    assert len(films) == len(pictures) == 10
    for film, path in zip(films, pictures, strict=True):
        with Image.open(path) as picture:
            wanted = np.asarray(picture).astype(int)
        away = np.abs(side_by_side.unpack(film) - wanted)
        assert away[..., 3].mean() < 2
        # A codec of half the colour resolution smears colour at edges; inside, it is near.
        assert np.median(away[..., :3][wanted[..., 3] == 255]) < 6
    says = subprocess.run([ffmpeg_path(), "-i", tmp_path / "film.mp4"], capture_output=True, check=False, timeout=60)
    assert b"right half alpha" in says.stderr


def test_a_layout_is_refused_where_alpha_travels_anyway(run_program: RunProgram, take: Path, tmp_path: Path) -> None:
    _, err = run(
        run_program, "render", "--engine", "synthetic", "--controls", take, "--out", tmp_path / "film.webp",
        "--layout", "side-by-side", code=1,
    )  # fmt: skip
    assert "keeps alpha as it is" in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_render_that_is_stopped_leaves_nothing_half_written(
    take: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    long = tmp_path / "long.jsonl"
    long.write_text(take.read_text() + '\n{"t_s": 3000, "controls": {}}')
    process = subprocess.Popen(
        [*BUNRAKU, "render", "--engine", "synthetic", "--controls", str(long), "--out", str(folder / "film.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob(".film.*.part.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert not (folder / "film.mp4").exists()
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert list(folder.iterdir()) == []
        return
    # Files of a killed process are hidden, and the next run removes them.
    subprocess.run(
        [*BUNRAKU, "render", "--engine", "synthetic", "--controls", str(take), "--out", str(folder / "film.mp4")],
        check=True,
        capture_output=True,
        timeout=120,
        env=ENVIRONMENT,
    )
    assert [file.name for file in folder.iterdir()] == ["film.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
@pytest.mark.parametrize("name", ["film.mp4", "film.webp", "frames"])
def test_a_full_disk_is_reported_and_keeps_the_existing_file(take: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))\n"
        "from runtime.cli.app import main; main()"
    )
    ended = subprocess.run(
        [
            sys.executable,
            "-B",
            "-c",
            code,
            "render",
            "--engine",
            "synthetic",
            "--controls",
            str(take),
            "--out",
            str(folder / name),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=ENVIRONMENT,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "disk is full" in ended.stderr
    assert list(folder.iterdir()) == []
