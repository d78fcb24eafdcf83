"""The animator's parts: rigid motion, the composite, and networks that begin by moving the drawing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime.character.controls import PORTRAIT_CONTROLS
from runtime.composite.base import PLANES
from runtime.composite.references import LAYERS, REFERENCES
from training import metrics
from training.animator.composite import FARTHEST, OPEN, Motion, composite, over, warp
from training.animator.networks import MOVES_WITH, Animator, Reader
from training.animator.rigid import GRID, PARTS, RigidMotion
from training.cast import NAMED_CAST, render_layers
from training.data.dataset import shrink_premultiplied
from training.data.references import OPEN_POSE

NAMES = [control.name for control in PORTRAIT_CONTROLS]
RANGES = [(control.minimum, control.maximum, control.rest) for control in PORTRAIT_CONTROLS]
SIDE = 128
HEAD = LAYERS.index("head")


def layers_of(name: str, controls: dict[str, float]) -> Tensor:
    """[len(LAYERS), 4, SIDE, SIDE], premultiplied; at rest, as references are."""
    drawn = render_layers(NAMED_CAST[name], controls, SIDE, whole=not controls)
    return torch.stack([picture_of(drawn[layer]) for layer in LAYERS])


def picture_of(straight: np.ndarray) -> Tensor:
    return torch.from_numpy(shrink_premultiplied(straight, SIDE)).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def aki() -> Tensor:
    """Aki's references, [1, len(REFERENCES), 4, SIDE, SIDE]."""
    rest, opened = layers_of("Aki", {}), layers_of("Aki", OPEN_POSE)
    return torch.cat([rest, opened[LAYERS.index("head")][None]])[None]


def controls_of(**values: float) -> Tensor:
    return torch.tensor([[values.get(control.name, control.rest) for control in PORTRAIT_CONTROLS]])


def kept(flow: Tensor) -> Motion:
    """All layers unchanged, moved."""
    planes = torch.zeros(1, len(PLANES), 8, 8)
    planes[:, : len(LAYERS)] = 1
    return Motion(flow, planes)


def rigid_flow(**values: float) -> Tensor:
    parts = RigidMotion(NAMES)(controls_of(**values))
    return torch.stack([parts[:, PARTS.index(MOVES_WITH[name])] for name in REFERENCES], 1)


def test_at_rest_nothing_moves_and_the_layers_are_the_picture(aki: Tensor) -> None:
    flow = rigid_flow()
    assert flow.shape == (1, len(REFERENCES), 2, GRID, GRID)
    assert flow.abs().max() < 1e-5
    assert torch.allclose(composite(aki, kept(flow)), over(aki[:, : len(LAYERS)]), atol=1e-4)


@pytest.mark.parametrize(
    "pose",
    [
        {"headYaw": 15.0},
        {"headYaw": -15.0},
        {"headPitch": 12.0},
        {"headRoll": -15.0},
        {"bodyRoll": 10.0},
        {"gazeYaw": 25.0},
        {"gazePitch": -15.0},
    ],
)
def test_rigid_motion_turns_a_drawing_as_the_cast_does(aki: Tensor, pose: dict[str, float]) -> None:
    wanted = over(layers_of("Aki", pose)[None])
    still = float(metrics.psnr(over(aki[:, : len(LAYERS)]), wanted))
    moved = float(metrics.psnr(composite(aki, kept(rigid_flow(**pose))), wanted))
    assert moved > still + 2.5


def test_fine_lines_stay_when_paint_moves_by_half_a_pixel() -> None:
    lines = (0.5 + 0.3 * torch.sin(torch.arange(256) * torch.pi / 2 + 0.7)).expand(1, len(REFERENCES), 4, 256, 256)
    half, whole = torch.zeros(1, len(REFERENCES), 2, 64, 64), torch.zeros(1, len(REFERENCES), 2, 64, 64)
    half[:, :, 0], whole[:, :, 0] = 0.5 / 128, 1 / 128
    moved = warp(lines, half)[0, 0]
    assert (moved.amax() - moved.amin()) > 0.9 * 0.6  # straight lines between pixels would leave 0.7
    torch.testing.assert_close(warp(lines, whole)[..., :-1], lines[..., 1:], rtol=0, atol=1e-4)


def test_moved_paint_stays_paint() -> None:
    edge = (torch.arange(256) >= 100).float().expand(1, len(REFERENCES), 4, 256, 256)
    moved = warp(edge, torch.full((1, len(REFERENCES), 2, 64, 64), 0.5 / 128))
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_solid_paint_can_be_fitted() -> None:
    references = torch.ones(1, len(REFERENCES), 4, 64, 64, requires_grad=True)
    warp(references, torch.zeros(1, len(REFERENCES), 2, 64, 64)).sum().backward()
    assert references.grad is not None
    torch.testing.assert_close(references.grad[..., 4:-4, 4:-4], torch.ones(1, len(REFERENCES), 4, 56, 56))


def test_the_open_head_and_the_drawing_are_mixed_into_the_head_alone(aki: Tensor) -> None:
    motion = kept(torch.zeros(1, len(REFERENCES), 2, GRID, GRID))
    motion.planes[:, PLANES.index("open")] = 1
    opened = aki[:, : len(LAYERS)].clone()
    opened[:, HEAD] = aki[:, OPEN]
    assert torch.allclose(composite(aki, motion), over(opened), atol=1e-4)
    motion.planes[:, PLANES.index("drawn")] = 1
    motion.planes[:, PLANES.index("red")] = motion.planes[:, PLANES.index("alpha")] = 1
    red = aki[:, : len(LAYERS)].clone()
    red[:, HEAD] = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 4, 1, 1)
    assert torch.allclose(composite(aki, motion), over(red), atol=1e-4)


def test_the_networks_begin_with_rigid_motion_and_can_learn_everywhere(aki: Tensor) -> None:
    torch.manual_seed(0)
    reader, animator = Reader(), Animator(NAMES, RANGES)
    large = torch.nn.functional.interpolate(aki.flatten(0, 1), scale_factor=2).view(1, len(REFERENCES), 4, 256, 256)
    motion = animator(reader(large).repeated(2), torch.cat([controls_of(), controls_of(headYaw=20.0)]))
    assert motion.flow.abs().max() <= FARTHEST
    assert torch.allclose(motion.flow[1:], rigid_flow(headYaw=20.0), atol=0.02)
    drawn = composite(aki.expand(2, -1, -1, -1, -1), motion)
    assert metrics.psnr(drawn[:1], over(aki[:, : len(LAYERS)])) > 22
    drawn.square().mean().backward()
    without = [
        name
        for network in (reader, animator)
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not torch.isfinite(parameter.grad).all()
    ]
    assert not without
