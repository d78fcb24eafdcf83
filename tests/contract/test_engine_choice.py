"""Engine choice: a named engine plays or is an error, `auto` moves on and says why. Nothing falls back silently."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from engine_bridge.errors import CharacterError, EngineError, EngineMismatch, EngineUnavailable
from runtime.character.file import Character
from runtime.character.writing import write_character
from runtime.engines.choice import candidates, open_engine
from runtime.engines.factory import Candidate, EngineSettings, make_engine
from runtime.engines.openvino import has_bf16
from runtime.engines.preview_check import check_against_preview
from runtime.engines.table import BACKENDS, NAMES, SYNTHETIC, availability, unavailable
from tests.tiny_character import generator, manifest, members, write_tiny

NO_GPU = "there is a GPU here, which would play"
ONE_THREAD = EngineSettings(threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("choice") / "tiny.bunraku")


def with_members(path: Path, **more: bytes) -> Path:
    write_character(path, manifest(), {**members(), **{name.replace("__", "."): data for name, data in more.items()}})
    return path


def without_gpu() -> None:
    reasons = availability()
    if not all(reasons[name] for name in ("tensorrt", "tensorrt-rtx", "cuda")):
        pytest.skip(NO_GPU)


def test_auto_takes_the_first_that_works_and_says_what_it_passed_over(tiny: Path) -> None:
    without_gpu()
    with Character.open(tiny) as character, open_engine("auto", character, settings=ONE_THREAD) as choice:
        about = choice.engine.description
        expected = "onnxruntime" if availability()["openvino"] or not has_bf16() else "openvino"
        assert about.backend == expected
        passed = dict(choice.passed_over)
        for name in ("tensorrt", "tensorrt-rtx", "cuda"):
            assert passed[name] == availability()[name]
            assert name in choice.sentence()
            assert name in choice.note
        assert about.label in choice.sentence()


def test_what_is_missing_is_passed_over_by_auto_and_an_error_when_named(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_gpu()
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    with Character.open(tiny) as character:
        with open_engine("auto", character, settings=ONE_THREAD) as choice:
            assert choice.engine.description.label == "onnxruntime/CPU fp32"
            assert dict(choice.passed_over)["openvino"].startswith("not installed")
        with pytest.raises(
            EngineUnavailable, match=r"openvino cannot be used .*: not installed; .*pip install .*\[openvino\]"
        ):
            open_engine("openvino", character)


def test_what_is_installed_but_broken_is_passed_over_by_auto_and_an_error_when_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_gpu()
    (tmp_path / "openvino.py").write_text("raise ImportError('libopenvino.so: wrong ELF class')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    with Character.open(tiny) as character:
        with open_engine("auto", character, settings=ONE_THREAD) as choice:
            assert choice.engine.description.backend == "onnxruntime"
            assert "wrong ELF class" in dict(choice.passed_over)["openvino"]
            assert "wrong ELF class" in choice.sentence()
        with pytest.raises(EngineUnavailable, match="wrong ELF class"):
            open_engine("openvino", character)


def test_a_graph_that_a_library_refuses_is_passed_over_by_auto_and_an_error_when_named(tmp_path: Path) -> None:
    without_gpu()
    pytest.importorskip("openvino", reason="OpenVINO is not installed, so it cannot refuse")
    broken = generator()
    kernel = next(tensor for tensor in broken.graph.initializer if tensor.name == "kernel")
    kernel.CopyFrom(onnx.numpy_helper.from_array(np.zeros((4, 5, 3, 3), np.float32), "kernel"))
    path = with_members(tmp_path / "broken.bunraku", generator__int8__onnx=broken.SerializeToString())
    with Character.open(path) as character:
        with open_engine("auto", character, settings=ONE_THREAD) as choice:
            assert choice.engine.description.precision != "int8"
            assert "refuses the graph" in dict(choice.passed_over)["openvino int8"]
        with pytest.raises(EngineError, match="refuses the graph"):
            open_engine("openvino", character, precision="int8")


def test_auto_takes_int8_where_the_character_brings_it(tmp_path: Path) -> None:
    without_gpu()
    path = with_members(tmp_path / "small.bunraku", generator__int8__onnx=generator().SerializeToString())
    with Character.open(path) as character:
        found, _ = candidates("auto", character)
        assert found[0].precision == "int8"
        assert {candidate.precision for candidate in candidates("auto", character, "fp32")[0]} == {"fp32"}


@pytest.mark.skipif(bool(unavailable("openvino")), reason="OpenVINO, which alone computes in bf16, cannot be used here")
def test_auto_leaves_bf16_alone_where_the_gate_refused_it(tmp_path: Path) -> None:
    if not has_bf16():
        pytest.skip("this processor has no bf16 instructions")
    for verdict, expected in ((True, "bf16"), (False, "fp32")):
        told = json.dumps({"precision": {"bf16": {"passed": verdict}}}).encode()
        with Character.open(with_members(tmp_path / "judged.bunraku", report__json=told)) as character:
            assert candidates("openvino", character)[0][0].precision == expected
            assert candidates("openvino", character, "bf16")[0][0].precision == "bf16"  # whoever asks for it gets it


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("auto", "synthetic")])
def test_a_named_engine_plays_or_is_an_error_that_says_why(name: str, tiny: Path) -> None:
    reason = unavailable(name)
    with Character.open(tiny) as character:
        if reason:
            with pytest.raises(EngineUnavailable) as caught:
                open_engine(name, character)
            assert reason in str(caught.value)
            assert "--engine auto" in str(caught.value)
        else:
            with open_engine(name, character, settings=ONE_THREAD) as choice:
                assert choice.engine.description.backend == name


def test_what_the_character_or_machine_lacks_is_told(tiny: Path) -> None:
    with Character.open(tiny) as character:
        for precision in ("int8", "fp16"):
            with pytest.raises(CharacterError, match=f"has no {precision} generator"):
                open_engine("onnxruntime", character, precision=precision)
        with pytest.raises(EngineUnavailable, match="fp32 only"):
            open_engine("onnxruntime", character, precision="bf16")
        with pytest.raises(EngineUnavailable, match="There is no engine"):
            open_engine("metal", character)
        with pytest.raises(EngineUnavailable, match="There is no precision"):
            open_engine("auto", character, precision="fp8")
    with pytest.raises(CharacterError, match="needs a character"):
        open_engine("onnxruntime", None)


def test_live_begins_on_the_processor_and_leaves_gpus_for_later(tiny: Path) -> None:
    with (
        Character.open(tiny) as character,
        open_engine("auto", character, settings=ONE_THREAD, quick=True) as choice,
    ):
        assert choice.engine.description.on_cpu
        reasons = availability()
        usable = [b.name for b in BACKENDS if b.on_gpu and not (b.by_name or reasons[b.name])]
        assert {candidate.backend for candidate in choice.better} == set(usable)


def test_a_variant_that_takes_something_else_is_refused_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(CharacterError, match=r"generator.int8.onnx .* something else than generator.onnx"):
        with_members(tmp_path / "odd.bunraku", generator__int8__onnx=generator(w_dim=9).SerializeToString())


def test_every_backend_computes_in_something() -> None:
    assert len({backend.name for backend in BACKENDS}) == len(BACKENDS) == len(NAMES) - 2
    assert all("fp32" in backend.precisions and "fp32" in backend.moves_in for backend in BACKENDS)


def preview_of(picture: np.ndarray, tmp_path: Path) -> bytes:
    path = tmp_path / "preview.webp"
    Image.fromarray(picture).save(path, lossless=True, exact=True)
    return path.read_bytes()


def test_an_engine_that_draws_something_else_than_the_preview_is_refused(tiny: Path, tmp_path: Path) -> None:
    reference = Candidate("onnxruntime", "fp32")
    with Character.open(tiny) as character, make_engine(reference, character, ONE_THREAD) as engine:
        assert check_against_preview(engine, character) is None  # it brings no preview
        out = np.empty((1, 32, 32, 4), np.uint8)
        rest = np.array([[control.rest for control in character.controls]], np.float32)
        engine.infer(np.ascontiguousarray(character.latents_file[0][:1]), rest, out)
    right = with_members(tmp_path / "right.bunraku", preview__webp=preview_of(out[0], tmp_path))
    wrong = with_members(tmp_path / "wrong.bunraku", preview__webp=preview_of(out[0][::-1], tmp_path))
    for path, good in ((right, True), (wrong, False)):
        with Character.open(path) as character, make_engine(reference, character, ONE_THREAD) as engine:
            if good:
                assert (check_against_preview(engine, character) or 0) > 60
            else:
                with pytest.raises(EngineMismatch, match="different picture"):
                    check_against_preview(engine, character)


def test_the_manual_lists_every_engine_and_what_it_computes_in(repository: Path) -> None:
    manual = (repository / "docs/engines.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in manual.splitlines() if line[:3] == "| `"]
    _, *engines = [row for row in rows if len(row) == 5]  # below the headings
    told = {name.strip("`"): row[3] for row in engines for name in row[0].split(", ")}
    assert told == {**{backend.name: ", ".join(backend.precisions) for backend in BACKENDS}, SYNTHETIC: ""}
