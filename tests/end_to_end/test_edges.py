"""`bunraku` in edge cases: lost output, Ctrl-C before the first frame, odd names and environments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bunraku_program import ANYWHERE, BUNRAKU, CARD, ENVIRONMENT, NOWHERE, last_line, run
from tests.conftest import REPOSITORY, RunProgram

SHORT = [*BUNRAKU, *CARD, *ANYWHERE, "--seconds", "0.3"]
LONG = os.environ.get("BUNRAKU_TEST_LONG") == "1"

on_posix = pytest.mark.skipif(os.name != "posix", reason="descriptors and signals as POSIX has them")


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh with the words as `$@`."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


@on_posix
@pytest.mark.parametrize("where", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_nothing(where: str) -> None:
    done = shell(f'"$@" --stream closed {where}', *SHORT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_the_output_is_reported_and_nothing_else_is_lost(tmp_path: Path) -> None:
    film = tmp_path / "film.webp"
    done = shell('"$@" >/dev/full', *SHORT, "--stream", "full", "--record", str(film), "--json")
    assert done.returncode == 1
    assert done.stderr == "Error: what was printed could not be written: No space left on device.\n"
    assert film.stat().st_size > 0


@on_posix
def test_playing_continues_when_the_reader_of_its_output_goes_away(tmp_path: Path) -> None:
    film = tmp_path / "film.webp"
    words = [*BUNRAKU, *CARD, *ANYWHERE, "--stream", "unread", "--seconds", "1", "--json", "--record", str(film)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(60), said) == (0, b"")
    assert film.stat().st_size > 0


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932", "ascii"])
def test_help_is_readable_on_every_code_page(run_program: RunProgram, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = run_program([*BUNRAKU, "live", "--help"], environment=environment, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--identity" in done.stdout


@on_posix
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x1b[31mb", "ねこ".encode(), b"a" * 4000, b"a b", b"../up", b""])
def test_a_name_that_no_stream_can_have_is_refused_in_a_short_line(name: bytes) -> None:
    words: Sequence[str | bytes] = [*BUNRAKU, *CARD, *NOWHERE, "--seconds", "0.3", "--stream", name]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: '")
    assert b"cannot name a stream" in done.stderr
    assert len(done.stderr) < 500
    assert b"\x1b" not in done.stderr


@on_posix
def test_a_file_name_that_is_not_utf8_works_and_is_shown_as_an_escape(tmp_path: Path) -> None:
    film = os.fsencode(tmp_path) + b"/r\xff[b].webp"
    words = [*BUNRAKU, *CARD, *NOWHERE, "--seconds", "0.3", "--record", film]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"r\udcff[b].webp" in done.stdout
    assert Path(os.fsdecode(film)).stat().st_size > 0


SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None},
    "home is a file": {"HOME": "/dev/null"},
    "no runtime folder": {"XDG_RUNTIME_DIR": None},
    "runtime folder is missing": {"XDG_RUNTIME_DIR": "/nonexistent"},
    "dumb terminal": {"TERM": "dumb", "COLUMNS": "20"},
    "no terminal": {"TERM": None, "COLUMNS": "0", "LINES": "0"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "no asserts": {"PYTHONOPTIMIZE": "1"},
    "no docstrings": {"PYTHONOPTIMIZE": "2"},
    "old locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("odd", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_odd_surroundings_do_not_matter(run_program: RunProgram, odd: dict[str, str | None]) -> None:
    if os.name == "nt" and "HOME" in odd:
        pytest.skip("HOME means nothing on Windows")
    done = run_program([*SHORT, "--stream", "odd", "--json"], cwd=REPOSITORY, environment=odd)
    assert done.returncode == 0, done.stderr
    assert last_line(done.stdout)["frames"] > 0
    assert "Traceback" not in done.stderr


def test_files_named_like_modules_in_the_working_folder_are_not_run(scripts: Path, tmp_path: Path) -> None:
    for name in ("json", "logging", "numpy", "rich", "runtime", "select", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this file was run')")
    words = [str(scripts / "bunraku"), *CARD, *ANYWHERE, "--stream", "shadow", "--seconds", "0.3"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@on_posix
@pytest.mark.parametrize(
    ("words", "code"), [([*CARD, *ANYWHERE, "--seconds", "0.3"], 0), (["inspect", "aki"], 0), (["keys", "add", "x"], 1)]
)
def test_a_working_folder_that_is_gone_is_no_reason_to_fail(tmp_path: Path, words: list[str], code: int) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell('cd "$0" && rmdir "$0" && exec "$@"'.replace("$0", str(gone)), *BUNRAKU, *words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("attempt", range(20 if LONG else 2))
def test_a_play_that_ends_while_it_still_loads_ends_with_code_0(run_program: RunProgram, attempt: int) -> None:
    arguments = ["live", "aki", "--no-window", *ANYWHERE, "--stream", f"brief{attempt}", "--seconds", "0.2"]
    run(run_program, *arguments)


@on_posix
@pytest.mark.parametrize("attempt", range(40 if LONG else 4))
def test_ctrl_c_at_any_moment_ends_with_0_or_130_and_without_a_traceback(scripts: Path, attempt: int) -> None:
    words = [str(scripts / "bunraku"), "live", "aki", "--no-window", *ANYWHERE, "--stream", f"stopped{attempt}"]
    moment = random.Random(attempt).uniform(0.3, 3.0)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (0, 130), f"after {moment:.2f} s: {process.returncode} {said}"
    assert "Traceback" not in said
    assert "Exception" not in said


@pytest.mark.parametrize("name", ["take [v2]", "take [/b]", "take :smile: [link=x]"])
def test_the_trainer_prints_paths_as_they_are(run_program: RunProgram, tmp_path: Path, name: str) -> None:
    words = [sys.executable, "-m", "training.cli", "data", "folder", name, "--mapping", f"{name}/m.toml", "--out", "o"]
    done = run_program(words, cwd=tmp_path, environment={"PYTHONPATH": str(REPOSITORY), "COLUMNS": "40"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert name in done.stderr
