"""The command line reports how an import or a take was changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

from tests.bunraku_program import BUNRAKU, NOWHERE, last_line
from tests.conftest import RunProgram

TRAIN = [sys.executable, "-m", "training.cli"]
MAPPING = """
name = "t"
licence = "CC0-1.0"
author = "me"
table = "table.csv"
[controls]
headYaw = { column = "yaw", minimum = -30, maximum = 30 }
"""


def test_an_import_says_what_it_changed_and_where(run_program: RunProgram, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(3):
        Image.new("RGBA", (8, 8), (index, 0, 0, 255)).save(frames / f"{index}.png", exif=exif)
    (frames / "table.csv").write_text("file;yaw\n0.png;-1,5\n1.png;2,5\n2.png;35,0\n", encoding="utf-16")
    (tmp_path / "mapping.toml").write_text(MAPPING, encoding="utf-8-sig")
    command = [*TRAIN, "data", "folder", "frames", "--mapping", "mapping.toml", "--out", "data", "--json"]
    done = run_program(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert (
        "values of yaw outside headYaw's range -30 to 30 are clipped to it, the farthest is 35: 1, first line 4" in said
    )
    assert "picture that is turned as its EXIF orientation says: 3, first 0.png (line 2)" in said
    kept = json.loads((tmp_path / "data" / "dataset.json").read_text(encoding="utf-8"))["notes"]
    assert last_line(done.stdout)["notes"] == kept
    assert len(kept) == 2


def test_playing_a_take_says_how_it_was_read(run_program: RunProgram, tmp_path: Path) -> None:
    rows = [f"10:00:00:{i:02d}.000;61;{30 + i},5;0,1" for i in range(30)]
    rows[7] = "10:00:00:07.000;0"
    text = "\n".join(["Timecode;BlendShapeCount;JawOpen;HeadYaw", *rows])
    (tmp_path / "take.csv").write_text(text, encoding="utf-16")
    take = [
        "live",
        "--engine",
        "synthetic",
        "--no-window",
        *NOWHERE,
        "--seconds",
        "0.2",
        "--driver",
        "recording:take.csv",
    ]
    done = run_program([*BUNRAKU, *take], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "1 row without a face, first in line 9" in said
    assert "jawOpen reaches 59.5 in line 31, so all shapes are read as percent" in said
