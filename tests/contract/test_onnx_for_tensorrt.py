"""NVIDIA's own parser and compiler accept every graph of a character and work with our builder, without a GPU.

Fetches 148 MB once, so it runs only on request:

    BUNRAKU_TEST_DOWNLOADS=1 python run.py test tests/contract/test_onnx_for_tensorrt.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runtime.character.archive import MEMBER_LIMITS
from runtime.character.file import Character
from tests.conftest import REPOSITORY
from tests.rtx_compiler import compile_onnx, rtx_compiler, run_inside
from tests.tiny_character import members
from tests.wheels import Unobtainable

pytestmark = [pytest.mark.slow, pytest.mark.download, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def compiler() -> Path:
    if os.environ.get("BUNRAKU_TEST_DOWNLOADS") != "1":
        pytest.skip("set BUNRAKU_TEST_DOWNLOADS=1 to fetch 148 MB for this")
    try:
        return rtx_compiler()
    except Unobtainable as reason:
        pytest.skip(f"no compiler: {reason}")


def check(compiler: Path, folder: Path, name: str, graph: bytes) -> str:
    """The compiler's description of a graph that it accepts."""
    path = folder / name
    path.write_bytes(graph)
    said = compile_onnx(compiler, path)
    print(f"{name}: {said}")  # noqa: T201
    return said


@pytest.mark.parametrize("name", [name for name in MEMBER_LIMITS if name.endswith(".onnx")])
@pytest.mark.parametrize(
    "character", sorted((REPOSITORY / "assets/characters").glob("*.bunraku")), ids=lambda p: p.stem
)
def test_a_shipped_character_is_taken(compiler: Path, tmp_path: Path, character: Path, name: str) -> None:
    with Character.open(character) as opened:
        if name not in opened:
            pytest.skip(f"{character.name} has no {name}")
        said = check(compiler, tmp_path, name, bytes(opened.read(name)))
        if name.startswith("generator"):
            frame = opened.manifest.frame
            assert f"rgba UINT8 [-1, {frame.height}, {frame.width}, 4]" in said


@pytest.mark.parametrize("name", [name for name in members() if name.endswith(".onnx")])
def test_the_tiny_character_is_taken(compiler: Path, tmp_path: Path, name: str) -> None:
    check(compiler, tmp_path, name, members()[name])


def test_what_the_trainer_exports_is_taken(compiler: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.random_generator import CONTROLS, SIZE_PX, random_generator
    from training.decoder.graphs import encoder_graph, generator_graph, half_generator_graph
    from training.latents.encoder import Encoder
    from training.latents.graphs import mapping_graph
    from training.latents.people import Mapping

    net = random_generator()
    check(compiler, tmp_path, "generator.onnx", generator_graph(net, len(CONTROLS)))
    half = check(compiler, tmp_path, "generator.fp16.onnx", half_generator_graph(net, len(CONTROLS)))
    assert f"w FLOAT [-1, 8], controls FLOAT [-1, 3], rgba UINT8 [-1, {SIZE_PX}, {SIZE_PX}, 4]" in half
    check(compiler, tmp_path, "mapping.onnx", mapping_graph(Mapping(z_dim=8, width=16, steps=2)))
    check(compiler, tmp_path, "encoder.onnx", encoder_graph(Encoder(w_dim=8).eval(), 64))


def test_what_the_trainer_exports_of_people_who_are_moved_is_taken(compiler: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from runtime.composite.references import REFERENCES
    from tests.random_generator import CONTROLS
    from training.animator.graphs import animator_graph, reader_graph
    from training.animator.networks import build
    from training.animator.recipe import Model
    from training.portrait.graphs import portrait_graph
    from training.portrait.networks import Portrait
    from training.portrait.recipe import Model as PortraitModel

    sizes = Model(reader=(8, 8, 12, 16), channels=(8, 8, 8), blocks=(1, 1, 1), id_dim=8, code_dim=16, planes_px=64)
    reader, animator = build(sizes, ["headYaw", "aa", "breath"], CONTROLS)
    check(compiler, tmp_path, "reader.onnx", reader_graph(reader.eval()))
    said = check(compiler, tmp_path, "animator.onnx", animator_graph(reader.eval(), animator.eval(), len(CONTROLS)))
    assert f"flow FLOAT [-1, {len(REFERENCES)}, 2, 64, 64]" in said
    drawn = PortraitModel(w_dim=8, memories=8, memory=8, warps=2, channels=8, blocks=1, paints=3, code_dim=8)
    said = check(compiler, tmp_path, "portrait.onnx", portrait_graph(Portrait(drawn).eval(), 8, 512))
    assert f"references UINT8 [-1, {len(REFERENCES)}, 512, 512, 4]" in said


def test_the_check_refuses_what_tensorrt_refuses(compiler: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load_from_string(members()["generator.onnx"])
    model.graph.node[-1].input[0], model.graph.node[-2].output[0] = "clipped", "rgba"
    model.graph.node[-1].output[0] = model.graph.node[-2].input[0] = "bytes"  # the cast before the transpose
    model.graph.node.insert(len(model.graph.node) - 2, model.graph.node.pop())
    with pytest.raises(ValueError, match="not read"):
        check(compiler, tmp_path, "cast-too-early.onnx", model.SerializeToString())


def test_our_builder_builds_tells_its_progress_and_can_be_stopped(compiler: Path, tmp_path: Path) -> None:
    path = tmp_path / "generator.onnx"
    path.write_bytes(members()["generator.onnx"])
    found = json.loads(run_inside(compiler, ["tests.rtx_build", str(path)]).splitlines()[-1])
    assert found["plan"] > 10_000
    assert found["timings"] > 0
    assert found["told"] > 20
    assert found["in range"]
    assert "was stopped" in found["stopped"]
    assert found["asked after it was stopped"] == 0
    assert found["interrupted"] == "KeyboardInterrupt"
    assert found["with spoilt timings"] > 10_000
    assert "cannot read the generator" in found["not a network"] or "cannot build" in found["not a network"]
    assert "cannot read the generator: " in found["wrong operator"]
    assert "MatMulInteger" in found["wrong operator"]
