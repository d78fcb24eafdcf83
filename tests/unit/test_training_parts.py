"""Networks, losses, metrics, the optimiser and the exported graphs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.character.onnx_graph import ALLOWED_OPERATORS, summarise
from tests import random_generator
from training import metrics
from training.data.control_ranges import sweep_controls
from training.decoder.graphs import encoder_graph, generator_graph, half_generator_graph, pictures
from training.decoder.networks import Generator
from training.decoder.pictures import draw
from training.latents.encoder import Encoder
from training.latents.graphs import mapping_graph
from training.latents.people import Mapping, WholeAttributes
from training.latents.prior import fit_mapping
from training.layers import unit_size
from training.losses import terms as losses
from training.losses.reconstruction import reconstruction_loss
from training.optim.muon import Muon, orthogonalise
from training.pictures import unpremultiply

RANGES = [(-30.0, 30.0, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.5)]


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(0)
    net = Generator(
        w_dim=8,
        controls=RANGES,
        channels=(16, 16, 16),
        blocks=(1, 1, 1),
        modulate_to=16,
        head=2,
        sizes_px=[32, 64],
        code_dim=16,
    )
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval().requires_grad_(False)


def test_the_generator_draws_at_each_of_its_sizes(generator: Generator) -> None:
    w, controls = torch.randn(3, 8), torch.zeros(3, 3)
    assert generator(w, controls).shape == (3, 4, 64, 64)
    assert generator(w, controls, 32).shape == (3, 4, 32, 32)


def test_controls_count_in_natural_units_and_only_the_direction_of_w_counts(generator: Generator) -> None:
    w, controls = torch.randn(1, 8), torch.tensor([[30.0, 1.0, 1.0]])
    assert not torch.allclose(generator(w, controls), generator(w, -controls), atol=1e-3)
    assert torch.allclose(generator(w, controls), generator(3 * w, controls), atol=1e-4)


def test_the_exported_generator_draws_the_same_bytes(generator: Generator) -> None:
    graph = generator_graph(generator, len(RANGES))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    w, controls = torch.randn(3, 8), sweep_controls(RANGES, 1).astype(np.float32)
    found = session.run(None, {"w": w.numpy(), "controls": controls})[0]
    expected = draw(generator, w, controls)
    assert found.dtype == np.uint8
    assert found.shape == (3, 64, 64, 4)
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert session.run(None, {"w": w[:1].numpy(), "controls": controls[:1]})[0].shape == (1, 64, 64, 4)


def drawn_by(graph: bytes, w: Tensor, controls: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    out: np.ndarray = session.run(None, {"w": w.numpy(), "controls": controls.numpy()})[0]
    return out.astype(int)


def test_the_half_generator_draws_nearly_the_same_bytes() -> None:
    net = random_generator.random_generator()
    w, controls = torch.randn(8, random_generator.W_DIM), torch.rand(8, 3) * torch.tensor([30.0, 1.0, 1.0])
    expected = drawn_by(generator_graph(net, 3), w, controls)
    assert 30 < expected.std() < 120
    assert {0, 255} <= set(np.unique(expected))
    # ONNX Runtime rounds the weights, and computes in fp32 on a CPU.
    assert np.abs(drawn_by(half_generator_graph(net, 3), w, controls) - expected).max() <= 1
    # PyTorch rounds after every layer, as a GPU does; a few pixels on hard edges are further off.
    with torch.no_grad():
        rounded = pictures(net, half=True)(w, controls).numpy().astype(int)
    apart = np.abs(rounded - expected)
    assert apart.mean() < 0.3
    assert np.percentile(apart, 99.9) <= 2
    assert apart.max() <= 4
    # Exporting changed nothing in the network itself.
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_the_half_generator_bears_a_code_whose_squares_fp16_cannot_hold() -> None:
    net = random_generator.random_generator()
    w, controls = torch.randn(2, random_generator.W_DIM), torch.zeros(2, 3)
    expected = drawn_by(generator_graph(net, 3), w, controls)
    last = net.code.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight *= 1000  # only the direction counts: the pictures stay, nearly
    last.bias *= 1000
    assert np.abs(drawn_by(half_generator_graph(net, 3), w, controls) - expected).mean() < 0.1
    with torch.no_grad():
        assert np.abs(pictures(net, half=True)(w, controls).numpy().astype(int) - expected).mean() < 0.5


def test_the_graphs_have_the_promised_interfaces_and_operators(generator: Generator) -> None:
    graphs = {
        "generator": generator_graph(generator, 3),
        "half generator": half_generator_graph(generator, 3),
        "mapping": mapping_graph(Mapping(z_dim=8, width=16, steps=2)),
        "encoder": encoder_graph(Encoder(w_dim=8).eval(), 64),
    }
    for name, graph in graphs.items():
        assert set(summarise(graph).operators) <= ALLOWED_OPERATORS, name
    found = {
        name: [(t.name, t.element_type, t.shape) for part in (s.inputs, s.outputs) for t in part]
        for name, s in ((name, summarise(graph)) for name, graph in graphs.items())
    }
    assert found["generator"] == [("w", 1, (None, 8)), ("controls", 1, (None, 3)), ("rgba", 2, (None, 64, 64, 4))]
    assert found["half generator"] == found["generator"]
    assert found["mapping"] == [("z", 1, (None, 8)), ("w", 1, (None, 8))]
    assert found["encoder"] == [("rgba", 2, (None, 64, 64, 4)), ("w", 1, (None, 8))]


def test_the_encoder_looks_at_premultiplied_pictures_of_any_size() -> None:
    encoder = Encoder(w_dim=8).eval()
    small = torch.rand(2, 4, 64, 64)
    large = F.interpolate(small, scale_factor=4.0, mode="nearest")
    assert torch.allclose(encoder(small), encoder(large), atol=1e-5)
    assert torch.allclose(encoder(small).square().mean(1), torch.ones(2), atol=1e-3)


def test_region_weights_mark_the_boxes_and_nothing_else() -> None:
    boxes = torch.zeros(1, 3, 4)
    boxes[0, 0] = torch.tensor([0.0, 0.0, 0.5, 0.25])
    boxes[0, 2] = torch.tensor([0.5, 0.5, 1.0, 1.0])
    weight = losses.region_weights(boxes, 8, eyes=6, mouth=4)[0, 0]
    assert weight[0, 0] == 7
    assert weight[2, 0] == 1
    assert weight[7, 7] == 5
    assert weight.sum() == 64 + 6 * 8 + 4 * 16


def _reconstruction_by_hand(straight: Tensor, target: Tensor, weight: Tensor) -> list[Tensor]:
    """The three terms as formulas, for automatic differentiation."""
    error = torch.cat([straight[:, :3] * target[:, 3:], straight[:, 3:]], 1) - target
    edges = torch.zeros(())
    for e, w in ((error, weight), (F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2))):
        edges = edges + ((e[..., 1:] - e[..., :-1]).abs() * w[..., 1:]).mean()
        edges = edges + ((e[..., 1:, :] - e[..., :-1, :]).abs() * w[..., 1:, :]).mean()
    spread = F.avg_pool2d(F.avg_pool2d(target, 4), 3, stride=1, padding=1)
    spread = F.interpolate(spread, scale_factor=4.0, mode="nearest")
    near = (spread[:, 3:] > 0.02) & (target[:, 3:] < 0.02)
    bled = ((straight[:, :3] - spread[:, :3] / spread[:, 3:].clamp_min(0.02)).abs() * near).mean()
    return [(error.abs() * weight).mean(), edges, bled]


def test_the_reconstruction_loss_and_its_gradient_are_those_of_the_formulas() -> None:
    torch.manual_seed(1)
    target = torch.rand(3, 4, 32, 32)
    target[:, 3:] = (F.interpolate(torch.rand(3, 1, 4, 4), scale_factor=8.0) > 0.5).float()
    target = losses.premultiply(target)
    weight = losses.region_weights(torch.rand(3, 3, 4), 32, eyes=6, mouth=4)
    straight = torch.rand(3, 4, 32, 32, requires_grad=True)
    expected = _reconstruction_by_hand(straight, target, weight)
    (slope,) = torch.autograd.grad(3 * (expected[0] + 0.5 * expected[1] + 0.05 * expected[2]), straight)
    loss, terms = reconstruction_loss(straight, target, weight, gradient=0.5, bleed=0.05)
    (found,) = torch.autograd.grad(3 * loss, straight)
    assert torch.allclose(terms, torch.stack(expected).detach(), rtol=1e-5)
    assert torch.allclose(found, slope, atol=1e-8)


def test_the_reconstruction_loss_is_zero_for_the_target_itself_and_grows_with_damage() -> None:
    torch.manual_seed(1)
    straight = torch.rand(2, 4, 32, 32)
    straight[:, 3] = 1.0  # nothing clear, so nothing to bleed
    target = losses.premultiply(straight)
    weight = torch.ones(2, 1, 32, 32)
    noise = torch.randn_like(straight)
    values = [
        float(reconstruction_loss(straight + size * noise, target, weight, gradient=0.5, bleed=0.05)[0])
        for size in (0.0, 0.1, 0.3)
    ]
    assert values[0] == 0
    assert 0 < values[1] < values[2]


def test_bleed_wants_the_colour_of_the_silhouette_just_outside_it() -> None:
    target = torch.zeros(1, 4, 32, 32)
    target[:, :, 8:24, 8:24] = 1.0
    target[:, 1:3] = 0.0
    red = torch.zeros(1, 4, 32, 32)
    red[:, 0] = 1.0
    weight = torch.ones(1, 1, 32, 32)
    assert reconstruction_loss(red, target, weight, gradient=0.5, bleed=0.05)[1][2] < 1e-6
    assert reconstruction_loss(torch.zeros_like(red), target, weight, gradient=0.5, bleed=0.05)[1][2] > 0.01


def test_metrics_know_damage() -> None:
    torch.manual_seed(2)
    sharp = F.interpolate(torch.rand(4, 4, 16, 16), scale_factor=4.0, mode="nearest")
    target = losses.premultiply(sharp)
    blurred = F.avg_pool2d(target, 5, 1, 2)
    assert metrics.psnr(target, target).min() > 90
    assert torch.allclose(metrics.ssim(target, target), torch.ones(4), atol=1e-4)
    assert metrics.psnr(blurred, target).max() < 30
    assert metrics.ssim(blurred, target).max() < 0.95
    assert (metrics.detail(blurred) < 0.5 * metrics.detail(target)).all()
    assert metrics.alpha_edge_error(target, target).max() == 0
    assert metrics.alpha_edge_error(blurred, target).min() > 0.01
    half = torch.tensor([[0.0, 0.0, 0.5, 1.0]]).expand(4, 4)
    damaged = target.clone()
    damaged[..., 32:] = 0
    assert metrics.region_error(damaged, target, half).max() == 0
    assert metrics.region_error(damaged, target, 1 - half[:, [2, 3, 0, 1]] * 0).isnan().all()


def test_psnr_of_a_known_error() -> None:
    assert metrics.psnr(torch.full((1, 4, 8, 8), 0.6), torch.full((1, 4, 8, 8), 0.5)).item() == pytest.approx(20, 1e-4)


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 96)])
def test_orthogonalised_updates_have_equal_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(3)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_muon_finds_a_matrix() -> None:
    torch.manual_seed(4)
    wanted, weight = torch.randn(8, 4, 3, 3), torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
    optimizer = Muon([weight], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (weight - wanted).square().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert (weight - wanted).abs().max() < 0.15


def test_the_prior_samples_where_the_latents_are() -> None:
    torch.manual_seed(5)
    side = torch.randint(0, 2, (600, 1)) * 2.0 - 1
    latents = torch.cat([side, side + 0.05 * torch.randn(600, 1), torch.randn(600, 2)], 1)
    mapping = fit_mapping(latents, 0.05, steps=400, seed=0)
    with torch.no_grad():
        sampled = mapping(torch.randn(500, 4))
    assert (sampled[:, 0] - sampled[:, 1]).abs().median() < 0.25
    assert (sampled[:, 0].abs() > 0.5).float().mean() > 0.8
    assert 0.3 < (sampled[:, 0] > 0).float().mean() < 0.7


def test_the_prior_of_attributes_samples_whole_people_only() -> None:
    torch.manual_seed(6)
    words = F.one_hot(torch.randint(0, 3, (600,)), 3).float()
    flag = torch.randint(0, 2, (600, 1)) * 2.0 - 1
    attributes = torch.cat([torch.rand(600, 1) * 2, words, flag], 1)
    out = torch.nn.Linear(5, 8)
    mapping = fit_mapping(
        attributes, 0.05, steps=60, seed=0, whole=WholeAttributes(attributes, [(1, 4)], out)
    ).requires_grad_(False)
    again = Mapping.shaped_as(mapping.state_dict())
    again.load_state_dict(mapping.state_dict())
    z = 3 * torch.randn(200, 5)
    w = mapping(z)
    session = onnxruntime.InferenceSession(mapping_graph(again.eval()), providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"z": z.numpy()})[0], w, atol=0.02)
    # Every w is the latent of somebody with exactly one word, a flag that is up or down, and a number that was seen.
    number = torch.linspace(0, 2, 201)[:, None]
    shown = torch.zeros(200, dtype=torch.bool)
    for word in range(3):
        for up in (-1.0, 1.0):
            rest = torch.cat([F.one_hot(torch.tensor(word), 3).float(), torch.tensor([up])]).expand(201, 4)
            possible = unit_size(out(torch.cat([number, rest], 1)))
            shown |= torch.cdist(w, possible).amin(1) < 0.02
    assert shown.all()


def test_unpremultiply_undoes_premultiply_where_something_shows() -> None:
    straight = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 4), np.uint8)
    straight[..., 3] |= 128
    premultiplied = ((straight[..., :3].astype(int) * straight[..., 3:] + 127) // 255).astype(np.uint8)
    back = unpremultiply(np.concatenate([premultiplied, straight[..., 3:]], -1))
    assert np.abs(back.astype(int) - straight).max() <= 2
