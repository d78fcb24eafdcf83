"""The int8 generator and the gate that accepts it, or does not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from runtime.character.controls import PORTRAIT_CONTROLS
from runtime.character.file import Character
from runtime.character.onnx_graph import summarise
from runtime.character.role import Role
from runtime.character.writing import write_character
from runtime.engines.base import Engine, EngineDescription, Floats, Pixels
from runtime.engines.synthetic import SyntheticEngine, synthetic_role
from tests.tiny_character import W_DIM, manifest, members
from training.decoder.graphs import generator_graph
from training.decoder.networks import Generator
from training.precision import gate
from training.precision import reduced as precision
from training.precision.quantise import Prepared, prepare, quantise
from training.precision.trajectories import Poses, joined, people, perform

SIDE = 64


@pytest.fixture(scope="module")
def character(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A character whose generator is a real network with random weights."""
    torch.manual_seed(0)
    net = Generator(
        w_dim=W_DIM,
        controls=[(c.minimum, c.maximum, c.rest) for c in PORTRAIT_CONTROLS],
        channels=(16, 16, 16),
        blocks=(1, 1, 1),
        modulate_to=16,
        head=2,
        sizes_px=[SIDE],
        code_dim=16,
    )
    for name, parameter in net.named_parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02 if name.endswith("b.weight") else 0.1)
    graph = generator_graph(net.eval().requires_grad_(False), len(PORTRAIT_CONTROLS))
    path = tmp_path_factory.mktemp("character") / "random.bunraku"
    write_character(path, manifest(side=SIDE), {**members(side=SIDE), "generator.onnx": graph})
    return path


@pytest.fixture(scope="module")
def graph(character: Path) -> bytes:
    with Character.open(character) as opened:
        return opened.read("generator.onnx")


@pytest.fixture(scope="module")
def role(character: Path) -> Role:
    with Character.open(character) as opened:
        return opened.role()


@pytest.fixture(scope="module")
def prepared(graph: bytes, role: Role) -> Prepared:
    return prepare(graph, joined([perform(role, who, seconds=4, fps=2, talks=True) for who in people(role, 4)]))


def _draw(model: bytes, poses: Poses) -> Pixels:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pixels: Pixels = session.run(None, {"w": poses.w, "controls": poses.controls})[0]
    return pixels


def test_what_the_runtime_asks_for_is_alive(role: Role) -> None:
    names = [control.name for control in role.controls]
    talking = perform(role, "one", seconds=8, fps=15, talks=True)
    assert len(talking) == 120
    moving = {name for name, spread in zip(names, np.ptp(talking.controls, 0), strict=True) if spread > 0.2}
    assert {"aa", "oh", "eyeBlinkLeft", "gazeYaw", "headYaw", "breath", "happy"} <= moving | {"happy"}
    slow = perform(role, "one", seconds=1, fps=60, speed=0.25)
    assert len(slow) == 240
    assert np.abs(np.diff(slow.controls[:, names.index("headYaw")])).max() < 0.2


def test_the_quantised_graph_is_small_symmetric_and_made_of_allowed_operators(graph: bytes, prepared: Prepared) -> None:
    quantised = quantise(prepared)
    found = summarise(quantised)
    assert (found.inputs, found.outputs) == (summarise(graph).inputs, summarise(graph).outputs)
    assert found.operators["QuantizeLinear"] > len(prepared.layers)
    model = onnx.load_from_string(quantised)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {node.domain for node in model.graph.node} == {""}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not stored[node.input[2]].any()
            assert stored[node.input[2]].dtype == np.int8  # the only integers that NVIDIA's parser takes here
            assert (stored[node.input[1]] > 0).all()
    # Weights of convolutions are there once, and as bytes.
    assert all(values.dtype == np.int8 for values in stored.values() if values.ndim == 4 and values.shape[2:] == (3, 3))
    assert len(quantised) < len(graph) + 30_000


def test_equalising_changes_no_picture(graph: bytes, prepared: Prepared, role: Role) -> None:
    poses = perform(role, "two", seconds=4, fps=2, talks=True, seed=5)
    same = prepared.model.SerializeToString()
    assert np.abs(_draw(same, poses).astype(int) - _draw(graph, poses)).max() <= 1


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_engines_draw_nearly_the_same_from_it(graph: bytes, prepared: Prepared, role: Role, backend: str) -> None:
    pytest.importorskip(backend)
    poses = perform(role, "two", seconds=4, fps=2, talks=True, seed=5)
    with precision.engine_for(backend, quantise(prepared), role, "int8") as engine:
        drawn = gate.draw(engine, poses)
    error = np.abs(drawn.astype(int) - _draw(graph, poses))
    assert 0 < error.mean() < 4


def test_layers_can_stay_as_they_are(graph: bytes, prepared: Prepared, role: Role) -> None:
    poses = perform(role, "two", seconds=4, fps=2, talks=True, seed=5)
    untouched = quantise(prepared, keep_float=prepared.layers)
    assert "QuantizeLinear" not in summarise(untouched).operators
    assert np.abs(_draw(untouched, poses).astype(int) - _draw(graph, poses)).max() <= 1
    all_but_one = quantise(prepared, keep_float=prepared.layers[1:])
    assert summarise(all_but_one).operators["QuantizeLinear"] == 2


class Damaged(Engine):
    """A good engine with spoilt pictures."""

    def __init__(self, inner: Engine, spoil: Callable[[Pixels, int], None]) -> None:
        super().__init__()
        self._inner, self._spoil, self._frame = inner, spoil, 0

    @property
    def description(self) -> EngineDescription:
        return self._inner.description

    def _load(self) -> None:
        self._inner.activate()

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        self._inner.infer(w, controls, out)
        self._frame += 1
        for picture in out:
            self._spoil(picture, self._frame)

    def _unload(self) -> None:
        self._inner.deactivate()


@pytest.fixture(scope="module")
def card() -> Role:
    return synthetic_role(width=128, height=128)


@pytest.fixture(scope="module")
def exam(card: Role) -> gate.Exam:
    stills = joined([perform(card, who, seconds=3, fps=2, talks=True) for who in ("teal", "rose")])
    slow = (perform(card, "teal", seconds=0.5, speed=0.5, talks=True),)
    with SyntheticEngine(card.controls, width=128, height=128) as engine:
        return gate.set_exam(engine, tuple(control.name for control in card.controls), stills, slow)


def _failures(exam: gate.Exam, card: Role, spoil: Callable[[Pixels, int], None]) -> set[str]:
    with Damaged(SyntheticEngine(card.controls, width=128, height=128), spoil) as engine:
        return {limit.figure for limit in gate.judge(exam, engine)[0].failures()}


def test_the_gate_finds_eyes_and_mouth_by_what_moves(exam: gate.Exam) -> None:
    for mask, rows in ((exam.eyes, slice(30, 64)), (exam.mouth, slice(56, 100))):
        assert 0.005 < mask.mean() < 0.2
        assert mask[:, rows].sum() > 0.6 * mask.sum()  # the rest is the bar that shows each control on the card


def test_the_gate_lets_an_identical_generator_pass(exam: gate.Exam, card: Role) -> None:
    assert _failures(exam, card, lambda picture, frame: None) == set()


def test_the_gate_sees_noise(exam: gate.Exam, card: Role) -> None:
    noise = np.random.default_rng(0).integers(-6, 7, (128, 128, 3))

    def spoil(picture: Pixels, frame: int) -> None:
        picture[..., :3] = np.clip(picture[..., :3] + noise, 0, 255)
        picture[..., 3] = 255

    assert "psnr_p1_db" in _failures(exam, card, spoil)


def test_the_gate_sees_flicker_that_no_single_picture_shows(exam: gate.Exam, card: Role) -> None:
    def spoil(picture: Pixels, frame: int) -> None:
        picture[..., :3] = np.clip(picture[..., :3].astype(int) + (2 if frame % 2 else -2), 0, 255)

    assert _failures(exam, card, spoil) <= {"change_ratio", "flicker_255"}
    assert "change_ratio" in _failures(exam, card, spoil)


def test_the_gate_sees_a_damaged_outline(exam: gate.Exam, card: Role) -> None:
    def spoil(picture: Pixels, frame: int) -> None:
        solid = picture[..., 3] > 127
        shifted = [np.roll(solid, (down, right), (0, 1)) for down in range(-3, 4) for right in range(-3, 4)]
        outline = np.any(shifted, 0) & ~np.all(shifted, 0)
        picture[outline & solid, 3] -= 8
        picture[outline & ~solid, 3] += 8

    assert _failures(exam, card, spoil) == {"edge_255"}


@pytest.mark.parametrize(("part", "figure"), [("eyes", "eyes_255"), ("mouth", "mouth_255")])
def test_the_gate_sees_a_damaged_part_of_the_face(exam: gate.Exam, card: Role, part: str, figure: str) -> None:
    masks, count = getattr(exam, part), len(exam.stills)

    def spoil(picture: Pixels, frame: int) -> None:
        if frame <= count + 1:  # the stills come first, after the warm-up
            mask = masks[max(0, frame - 2)]
            picture[mask, :3] = np.clip(picture[mask, :3].astype(int) - 8, 0, 255)

    assert _failures(exam, card, spoil) == {figure}


def _fewer(asked: precision.Questions) -> precision.Questions:
    return dataclasses.replace(asked, stills=asked.stills.take(slice(0, 6)), slow=(asked.slow[0].take(slice(0, 4)),))


def _with_a_bad_layer(bad: str) -> Callable[..., bytes]:
    """Replaces `quantise`: exact, except for one layer."""

    def stand_in(prepared: Prepared, *, keep_float: Collection[str] = ()) -> bytes:
        model = onnx.ModelProto()
        model.CopyFrom(prepared.model)
        node = next(node for node in model.graph.node if node.name == bad)
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
        if bad not in keep_float:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.5), weight.name))
        data: bytes = model.SerializeToString()
        return data

    return stand_in


def test_the_layer_that_does_the_damage_goes_back_to_fp32(
    graph: bytes, role: Role, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = prepared.layers[3]
    monkeypatch.setattr(precision, "quantise", _with_a_bad_layer(bad))
    questions = _fewer(precision.ask(role, None, None))
    found, report = precision.find_int8(graph, role, questions, precision.examine(graph, role, questions))
    assert found is not None
    assert (report.passed, report.tries) == (True, 2)
    assert report.kept_float[0] == bad
    assert report.sentence() == f"int8 passed, 2 of {len(prepared.layers)} layers in fp32"


def test_the_report_and_what_passed_land_in_the_file(
    character: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = precision.ask
    monkeypatch.setattr(precision, "ask", lambda role, *rest: _fewer(whole(role, *rest)))
    monkeypatch.setattr(precision, "TRIES", 1)
    for good in (False, True):
        limits = tuple(dataclasses.replace(limit, value=0.0 if limit.least == good else 1e9) for limit in gate.LIMITS)
        monkeypatch.setattr(gate, "LIMITS", limits)
        out = tmp_path / f"{good}.bunraku"
        report, *others = precision.add_precisions(character, out, dataset=None, worst=tmp_path / "worst.png")
        assert {other.precision for other in others} <= {"bf16"}  # the file brings no fp16
        assert report.passed is good
        assert ("refused: psnr_p1_db" in report.sentence()) is not good
        with Character.open(out) as opened:
            assert ("generator.int8.onnx" in opened) is good
            stored = opened.report()
        assert stored["psnr"] == 9.5  # what was there stays
        assert stored["precision"]["int8"]["passed"] is good
        assert stored["precision"]["int8"]["figures"][0]["engine"] == "onnxruntime/CPU int8"
        assert json.dumps(stored)
    assert (tmp_path / "worst.png").is_file()
