"""A small generator with random weights everywhere, also where training starts from zero, and outputs in range."""

from __future__ import annotations

import torch

from training.decoder.networks import Generator

W_DIM = 8
SIZE_PX = 64
CONTROLS = [(-30.0, 30.0, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.5)]


def random_generator() -> Generator:
    """The same on every call; its colours vary around mid grey like a trained one's, and some are clipped."""
    torch.manual_seed(0)
    net = Generator(
        w_dim=W_DIM,
        controls=CONTROLS,
        channels=(16, 16, 16),
        blocks=(1, 1, 1),
        modulate_to=16,
        head=2,
        sizes_px=[SIZE_PX],
        code_dim=16,
    )
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    net = net.eval().requires_grad_(False)
    head = net.heads[str(SIZE_PX)]
    assert isinstance(head, torch.nn.Conv2d)
    assert head.bias is not None
    head.bias.zero_()
    head.weight.div_(net(torch.randn(4, W_DIM), torch.full((4, len(CONTROLS)), 0.5)).std() / 0.3)
    head.bias.fill_(0.5)
    return net
