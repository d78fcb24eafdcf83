"""The other commands, and how `bunraku` reports wrong usage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bunraku_program import CARD, NOWHERE, last_line, run
from tests.conftest import RunProgram
from tests.tiny_character import write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("character") / "tiny.bunraku", side=64)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["live", "nobody.bunraku", "--no-window"], 1, "no character file"),
        (["live", "nobody", "--no-window"], 1, "--engine synthetic"),
        ([*CARD, "--driver", "recoding:x.csv"], 2, 'Did you mean "recording"'),
        ([*CARD, "--driver", "recording:none.csv"], 1, "no recording"),
        ([*CARD, "--engine", "metal"], 2, "metal"),
        ([*CARD, "--identity", "nobody", *NOWHERE], 1, "teal, amber"),
        ([*CARD, "--publish", "tcp://0.0.0.0:5760"], 1, "other machines"),
        ([*CARD, *NOWHERE, "--record", "film.avi"], 1, r"\.mp4 or \.webp"),
        (["render", "--engine", "synthetic"], 2, "--controls"),
        (["render", "--engine", "synthetic", "--controls", "none.csv", "--out", "x.mp4"], 1, "no recording"),
        (["inspect", "nobody.bunraku"], 1, "no character file"),
        (["lvie"], 2, "lvie"),
    ],
)
def test_wrong_usage_is_explained(
    run_program: RunProgram, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    _, err = run(run_program, *arguments, code=code, cwd=tmp_path)
    assert re.search(words, err), err
    assert list(tmp_path.iterdir()) == []


def test_hostile_character_files_are_refused_by_the_program(
    run_program: RunProgram, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.bunraku").write_bytes(tiny.read_bytes()[:-500])
    (tmp_path / "text.bunraku").write_text("PK")
    for name, words in (("cut", "cut short"), ("text", "not a character file")):
        _, err = run(run_program, "live", tmp_path / f"{name}.bunraku", "--no-window", *NOWHERE, code=1)
        assert words in err


def test_inspect_shows_the_file(run_program: RunProgram, tiny: Path) -> None:
    out, _ = run(run_program, "inspect", tiny, "--json")
    assert "CC0-1.0" in out
    found = last_line(out)
    assert found["manifest"]["name"] == "Tiny"
    assert found["graphs"]["generator.onnx"]["operators"]["Conv"] == 1
    assert found["report"] == {"psnr": 9.5}


def test_doctor_finds_what_is_here(run_program: RunProgram, tmp_path: Path) -> None:
    out, _ = run(run_program, "doctor", "--json", cwd=tmp_path)
    findings = {finding["name"]: finding for finding in last_line(out)["findings"]}
    assert findings["onnxruntime"]["state"] == "ok"
    assert findings["tensorrt"]["state"] in ("ok", "limited")
    assert findings["engine"]["found"].startswith("auto uses ")
    assert findings["films"]["state"] in ("ok", "limited")
    assert findings["wire"]["found"].startswith("libzmq ")
    assert findings["shared memory"]["state"] == "ok"
    assert findings["streams"]["state"] == "ok"
    assert findings["camera"]["state"] in ("ok", "limited")


def test_bench_measures_everything(run_program: RunProgram, tiny: Path) -> None:
    out, _ = run(run_program, "bench", tiny, "--engine", "onnxruntime", "--frames", "20", "--json")
    figures = last_line(out)
    for name in ("engine_ms_p50", "tick_ms_p99", "other_ms_p50", "transport_ms_p50", "first_frame_s", "rss_mb"):
        assert figures[name] > 0
    assert figures["provider"] == "onnxruntime/CPU fp32"
    assert figures["rss_mb"] <= 250
    (lane,) = figures["engines"]
    assert lane["engine"] == "onnxruntime fp32"
    assert lane["psnr_p1_db"] is None
    for name in ("start_s", "ms_p50", "paced_ms_p99", "busy_ms_p50", "fps", "cores", "rss_mb"):
        assert lane[name] > 0


def test_bench_compares_engines_with_the_reference(run_program: RunProgram, tiny: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed, so there is nothing to compare")
    arguments = ["--engine", "openvino", "--precision", "fp32", "--frames", "10", "--json"]
    out, _ = run(run_program, "bench", tiny, *arguments)
    openvino, reference = last_line(out)["engines"]
    assert (openvino["engine"], reference["engine"]) == ("openvino fp32", "onnxruntime fp32")
    assert openvino["psnr_p1_db"] > 45


def test_build_has_nothing_to_do_on_a_processor_and_says_what_is_ready(run_program: RunProgram, tiny: Path) -> None:
    out, _ = run(run_program, "build", tiny, "--engine", "onnxruntime")
    assert "ready: Tiny on onnxruntime/CPU fp32" in out
    out, _ = run(run_program, "build", tiny, "--engine", "onnxruntime", "--json")
    assert last_line(out)["provider"] == "onnxruntime/CPU fp32"


@pytest.mark.parametrize("command", ["live", "view", "streams", "render", "inspect", "build", "bench", "doctor"])
def test_every_command_has_help_with_an_example(run_program: RunProgram, command: str) -> None:
    out, _ = run(run_program, command, "--help")
    assert f"bunraku {command}" in out
    assert "Example" in out
