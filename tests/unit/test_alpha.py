"""A clear background and a solid figure: in training, in exported graphs, in older files, in the shipped character."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine_bridge.errors import CharacterError
from runtime.character.file import Character
from runtime.character.shipped import find_character
from runtime.character.writing import write_character
from runtime.engines.base import Pixels
from runtime.engines.choice import candidates
from runtime.engines.factory import EngineSettings, make_engine
from runtime.engines.table import unavailable
from tests import tiny_character
from tests.random_generator import CONTROLS, SIZE_PX, W_DIM, random_generator
from training.decoder import graphs
from training.decoder.alpha import CLEAR, MOST_HAZE, MOST_VEIL, SOLID, AlphaFigures, measure, stretched
from training.decoder.alpha_step import add_alpha_step, with_alpha_step
from training.losses.reconstruction import reconstruction_loss
from training.precision import gate
from training.precision.reduced import engine_for
from training.precision.trajectories import Poses, joined, perform


def test_nearly_clear_becomes_clear_nearly_solid_becomes_solid_and_colour_stays() -> None:
    straight = torch.rand(2, 4, 3, 5)
    straight[:, 3] = torch.tensor([0.0, CLEAR, 0.5 * (CLEAR + SOLID), SOLID, 1.0])
    found = stretched(straight)
    assert torch.equal(found[:, :3], straight[:, :3])
    assert found[0, 3, 0].clamp(0, 1).tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)
    rising = stretched(torch.linspace(0, 1, 256).view(1, 1, 1, 256).expand(1, 4, 1, 256))[0, 3, 0]
    assert rising.diff().min() > 0  # a smooth outline stays smooth
    assert rising.diff().max() < 1.2 / 255


def test_alpha_beyond_what_is_shown_is_no_error_and_alpha_short_of_it_is() -> None:
    target = torch.zeros(1, 4, 16, 16)
    target[:, :, :, 8:] = 1.0

    def loss(clear: float, solid: float) -> tuple[Tensor, Tensor]:
        drawn = target.clone()
        drawn[:, 3] = torch.where(target[:, 3] > 0, solid, clear)
        drawn.requires_grad_(True)
        value, _ = reconstruction_loss(drawn, target, torch.ones(1, 1, 16, 16), gradient=0.5, bleed=0.0)
        (slope,) = torch.autograd.grad(value, drawn)
        return value, slope[:, 3]

    for clear, solid in ((0.0, 1.0), (-0.5, 1.7), (-3.0, 1.0)):
        value, slope = loss(clear, solid)
        assert value == 0
        assert not slope.any()
    for clear, solid in ((0.02, 1.0), (0.0, 0.9)):
        value, slope = loss(clear, solid)
        assert value > 0
        assert slope.any()


def drawn_by(graph: bytes, count: int = 6) -> Pixels:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(3)
    w = torch.randn(count, W_DIM, generator=generator).numpy()
    controls = torch.rand(count, len(CONTROLS), generator=generator).numpy()
    pixels: Pixels = session.run(None, {"w": w, "controls": controls})[0]
    return pixels


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_an_older_graph_gets_what_a_new_one_has_at_no_cost(half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    export = graphs.half_generator_graph if half else graphs.generator_graph
    new = export(random_generator(), len(CONTROLS))
    with monkeypatch.context() as before:
        before.setattr(graphs, "CLEAR", 0.0)
        before.setattr(graphs, "GAIN", 1.0)
        old = export(random_generator(), len(CONTROLS))
    changed = with_alpha_step(old)
    assert np.abs(drawn_by(old)[..., 3].astype(int) - drawn_by(new)[..., 3]).max() > 5
    assert np.abs(drawn_by(changed).astype(int) - drawn_by(new)).max() <= 1
    shapes = [
        ([node.op_type for node in model.graph.node], [(t.data_type, tuple(t.dims)) for t in model.graph.initializer])
        for model in map(onnx.load_from_string, (old, changed))
    ]
    assert shapes[0] == shapes[1]


def test_an_older_character_gets_the_step_once(tmp_path: Path) -> None:
    net = random_generator()
    manifest = tiny_character.manifest(side=SIZE_PX, controls=tiny_character.PORTRAIT_CONTROLS[: len(CONTROLS)])
    members = tiny_character.members(side=SIZE_PX, controls=tiny_character.PORTRAIT_CONTROLS[: len(CONTROLS)])
    graph = graphs.generator_graph(net, len(CONTROLS))
    files = {**members, "generator.onnx": graph, "generator.int8.onnx": graph}
    write_character(tmp_path / "old.bunraku", manifest, files)
    add_alpha_step(tmp_path / "old.bunraku", tmp_path / "new.bunraku")
    with Character.open(tmp_path / "new.bunraku") as character:
        assert character.read("generator.onnx") == with_alpha_step(graph)
        assert "generator.int8.onnx" not in character  # its scales were for the old weights
        assert character.manifest.provenance["alpha"]["clear_up_to"] == 10
        assert character.report()["measured"] == "before alpha was stretched"
        assert "preview.webp" in character
    with pytest.raises(CharacterError, match="has this step already"):
        add_alpha_step(tmp_path / "new.bunraku", tmp_path / "newer.bunraku")
    with pytest.raises(CharacterError, match="does not end as an exported one does"):
        add_alpha_step(tiny_character.write_tiny(tmp_path / "tiny.bunraku"), tmp_path / "newer.bunraku")
    assert not (tmp_path / "newer.bunraku").exists()


def test_haze_and_veil_are_counted_away_from_the_outline() -> None:
    picture = np.zeros((1, 64, 64, 4), np.uint8)
    picture[:, :, 32:, 3] = 255
    assert measure(picture) == AlphaFigures(0.0, 0.0)
    picture[:, :, 30:32, 3] = 4  # near the outline anything goes
    picture[:, :, 32:34, 3] = 220
    assert measure(picture) == AlphaFigures(0.0, 0.0)
    picture[:, :, :14, 3] = 8  # of 29 columns that lie outside
    picture[:, :, 62:, 3] = 200
    assert measure(picture) == AlphaFigures(round(14 / 29, 6), round(2 / 29, 6))


@pytest.fixture(scope="module", params=["aki", "crowd"])
def shipped(request: pytest.FixtureRequest) -> dict[str, Pixels]:
    """Several people in several poses, in every precision that runs here."""
    path = find_character(request.param)
    with Character.open(path) as character:
        role = character.role()
        if character.moves:
            settings = EngineSettings(threads=1, patient=True)
            engines = {
                str(candidate): make_engine(candidate, character, settings)
                for candidate in candidates("auto", character)[0]
            }
        else:
            graph = character.read("generator.onnx")
            plays = [("onnxruntime", graph, "fp32")]
            plays += [] if unavailable("openvino") else [("openvino", graph, "fp32")]
            engines = {
                f"{backend} {precision}": engine_for(backend, model, role, precision)
                for backend, model, precision in plays
            }
    who: tuple[str | int, ...] = (*role.latents.names[::6], *((4,) if role.latents.has_mapping else ()))
    poses = joined([perform(role, key, seconds=4, fps=0.5, talks=True, seed=n) for n, key in enumerate(who)])
    turned = np.array([[c.rest for c in role.controls]] * 2, np.float32)
    for column, control in enumerate(role.controls):
        if control.name in ("headYaw", "headPitch", "jawOpen"):
            turned[:, column] = control.minimum, control.maximum
    extreme = Poses(poses.w[:2], turned)
    drawn = {}
    for name, made in engines.items():
        with made as engine:
            drawn[name] = gate.draw(engine, joined([poses, extreme]))
    return drawn


def test_the_shipped_characters_background_is_clear_and_the_figure_solid(shipped: dict[str, Pixels]) -> None:
    for pictures in shipped.values():
        together = measure(pictures)
        assert together.haze_outside <= MOST_HAZE
        assert together.veil_inside <= MOST_VEIL
        for picture in pictures:
            found = measure(picture[None])
            assert found.haze_outside <= 3 * MOST_HAZE
            assert found.veil_inside <= 3 * MOST_VEIL
            alpha = picture[..., 3]
            assert 0.2 < (alpha == 0).mean() < 0.9
            assert 0.1 < (alpha == 255).mean() < 0.8
            # Of everything that is not the figure, the outline's last fringe included.
            assert ((alpha > 0) & (alpha <= 8)).sum() < 0.01 * (alpha < 128).sum()


def test_the_shipped_characters_engines_agree_on_it(shipped: dict[str, Pixels]) -> None:
    reference = shipped["onnxruntime fp32"].astype(int)
    for engine, pictures in shipped.items():
        if engine.endswith("fp32"):  # whoever rounds is judged by the precision gate
            # The colour of a clear pixel is a matter of a 255th of alpha, and nobody sees it.
            seen = (pictures[..., 3:] > 0) | (reference[..., 3:] > 0)
            difference = np.abs(pictures - reference) * seen
            assert difference.mean() < 0.2
            assert difference.max() <= 8


def test_the_shipped_characters_outline_is_smooth_and_its_colour_goes_on_beyond_it(shipped: dict[str, Pixels]) -> None:
    for picture in shipped["onnxruntime fp32"]:
        alpha = torch.from_numpy(picture[..., 3].astype(np.float32))[None, None] / 255
        solid = (alpha > 0.5).float()
        inside, outside = -F.max_pool2d(-solid, 3, 1, 1), F.max_pool2d(solid, 3, 1, 1)
        rim = (outside > inside)[0, 0]
        between = ((alpha > 0.05) & (alpha < 0.95))[0, 0]
        assert between[rim].float().mean() > 0.35  # the drawings themselves have 0.36 to 0.39; a staircase has 0
        # What a texture filter mixes into the outline: clear pixels beside it, coloured like what they lie beside.
        colour = torch.from_numpy(picture[..., :3].astype(np.float32)).permute(2, 0, 1)[None]
        beside = (F.max_pool2d(alpha, 5, 1, 2) > 0.9) & (alpha == 0)
        weight = F.avg_pool2d(alpha, 9, 1, 4)
        near = F.avg_pool2d(colour * alpha, 9, 1, 4) / weight.clamp_min(1e-3)
        error = (colour - near).abs().mean(1, keepdim=True)[beside].mean()
        assert error < 60
