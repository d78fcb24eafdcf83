"""The networks of the decoder: generator, encoder, discriminator.

Pictures inside the trainer are float [N, 4, H, W], channels R G B A,
0..1, sRGB-encoded; `straight` colour unless a name says `premultiplied`.

The generator is an 8x8 seed and a residual trunk of plain 3x3 convolutions, wide where pixels are few, with
per-channel scale-in / scale-out / shift modulation at low resolution (the scale form of the modulated convolution of
StyleGAN2, Karras 2020, arXiv:1912.04958, without dynamic weights), and a pixel-shuffle head (Shi 2016,
arXiv:1609.05158). No normalisation, no grouped or depthwise convolution: int8 backends
and TensorRT run those slowly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.decoder.alpha import stretched
from training.discriminator import PatchDiscriminator
from training.layers import (
    Mlp,
    ModulatedBlock,
    ResidualBlock,
    control_scale,
    kaiming,
    lrelu,
    unit_size,
)

SEED_SIZE = 8
SEED_CHANNELS = 64


class Blocks(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, channels: int, count: int, code_dim: int, *, modulate: bool) -> None:
        super().__init__()
        self.modulate = modulate
        self.blocks = nn.ModuleList(
            ModulatedBlock(channels, code_dim) if modulate else ResidualBlock(channels) for _ in range(count)
        )

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """[N, C, H, W] and code [N, code_dim] -> [N, C, H, W]."""
        for block in self.blocks:
            x = block(x, code) if self.modulate else block(x)
        return x


class Stage(Blocks):
    """The blocks of one resolution, entered by a 3x3 convolution and a nearest x2 step from the one below.

    Convolving before the upsampling costs a quarter of convolving after it and lost 0.2 dB in our comparison.
    """

    def __init__(self, channels_in: int, channels: int, count: int, code_dim: int, *, modulate: bool) -> None:
        super().__init__(channels, count, code_dim, modulate=modulate)
        self.enter = nn.Conv2d(channels_in, channels, 3, padding=1)
        kaiming(self.enter)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """[N, channels_in, H, W] and code [N, code_dim] -> [N, channels, 2H, 2W]."""
        return super().forward(F.interpolate(lrelu(self.enter(x)), scale_factor=2.0, mode="nearest"), code)


def _to_rgba(channels: int, head: int) -> nn.Conv2d:
    """The head starts at mid grey, half transparent."""
    convolution = nn.Conv2d(channels, 4 * head * head, 3, padding=1)
    nn.init.normal_(convolution.weight, std=0.02)
    assert convolution.bias is not None
    nn.init.constant_(convolution.bias, 0.5)
    return convolution


class Generator(nn.Module):
    """Identity latent and controls -> straight RGBA.

    Args:
        w_dim: size of the identity latent.
        controls: (minimum, maximum, rest) of each control, natural units, in input order.
        channels: width of each resolution from 8x8 upwards; the trunk ends at 8 * 2**(len - 1).
        blocks: residual blocks at each resolution.
        modulate_to: highest resolution whose blocks are modulated by the code.
        head: pixel-shuffle factor from the trunk's end to the picture.
        sizes_px: picture sizes with their own head, for growing; the largest is `size_px`.
        code_dim: width of the code that modulates.
    """

    lowest: Tensor
    inverse_half_range: Tensor

    def __init__(
        self,
        *,
        w_dim: int,
        controls: Sequence[tuple[float, float, float]],
        channels: Sequence[int],
        blocks: Sequence[int],
        modulate_to: int,
        head: int,
        sizes_px: Sequence[int],
        code_dim: int = 256,
    ) -> None:
        super().__init__()
        self.w_dim, self.head = w_dim, head
        self.size_px = SEED_SIZE * 2 ** (len(channels) - 1) * head
        low, inverse = control_scale(controls)
        self.register_buffer("lowest", low)
        self.register_buffer("inverse_half_range", inverse)
        self.code = Mlp(w_dim + len(controls), code_dim, code_dim, code_dim)
        self.const = nn.Parameter(torch.randn(1, SEED_CHANNELS, SEED_SIZE, SEED_SIZE))
        self.seed = nn.Linear(code_dim, SEED_CHANNELS * SEED_SIZE**2)
        self.enter = nn.Conv2d(SEED_CHANNELS, channels[0], 1)
        kaiming(self.seed)
        kaiming(self.enter)
        self.first = Blocks(channels[0], blocks[0], code_dim, modulate=modulate_to >= SEED_SIZE)
        self.stages = nn.ModuleList()
        self.heads = nn.ModuleDict()
        size = SEED_SIZE
        for index, width in enumerate(channels):
            if index:
                size *= 2
                modulate = size <= modulate_to
                self.stages.append(Stage(channels[index - 1], width, blocks[index], code_dim, modulate=modulate))
            if size * head in sizes_px:
                self.heads[str(size * head)] = _to_rgba(width, head)

    def forward(self, w: Tensor, controls: Tensor, size_px: int | None = None) -> Tensor:
        """Draw.

        Args:
            w: float [N, w_dim]; only its direction matters.
            controls: float [N, c], natural units.
            size_px: one of the sizes with a head; the largest if not given.

        Returns:
            float [N, 4, size_px, size_px], straight RGBA, not clamped: a clamp would kill the gradient of every
            pixel outside the range. Apply `clamp(0, 1)` before showing it.
        """
        return stretched(F.pixel_shuffle(self.unshuffled(w, controls, size_px), self.head))

    def unshuffled(self, w: Tensor, controls: Tensor, size_px: int | None = None) -> Tensor:
        """Output of the head, before its pixels are laid out and its alpha is stretched.

        Returns:
            float [N, 4 * head * head, size_px / head, size_px / head].
        """
        return self.from_code(self.code_of(w, controls), size_px)

    def code_of(self, w: Tensor, controls: Tensor) -> Tensor:
        """Code of identity and pose for the trunk: float [N, code_dim], mean square 1."""
        normalised = (controls - self.lowest) * self.inverse_half_range - 1.0
        return unit_size(lrelu(self.code(torch.cat([unit_size(w), normalised], 1))))

    def from_code(self, code: Tensor, size_px: int | None = None) -> Tensor:
        """The second half of `unshuffled`, which may run at another precision from the first."""
        x = self.const + self.seed(code).view(-1, SEED_CHANNELS, SEED_SIZE, SEED_SIZE)
        x = self.first(lrelu(self.enter(x)), code)
        wanted = (size_px or self.size_px) // self.head
        for index, stage in enumerate(self.stages):
            if SEED_SIZE * 2**index == wanted:
                break
            x = stage(x, code)
        out: Tensor = self.heads[str(wanted * self.head)](x)
        return out


THUMBNAIL_PX = 16


class Thumbnail(nn.Module):
    """Identity latent -> a small picture of that person, linear.

    Only a guide in training: from the first step on it teaches the encoder what distinguishes people, before the
    generator has learnt to use the latent.
    """

    def __init__(self, *, w_dim: int) -> None:
        super().__init__()
        self.out = nn.Linear(w_dim, 4 * THUMBNAIL_PX**2)

    def forward(self, w: Tensor) -> Tensor:
        """[N, w_dim] -> premultiplied RGBA [N, 4, THUMBNAIL_PX, THUMBNAIL_PX]."""
        flat: Tensor = self.out(w)
        return flat.view(-1, 4, THUMBNAIL_PX, THUMBNAIL_PX)


class Discriminator(PatchDiscriminator):
    """Judges whether a premultiplied RGBA picture is real and matches the controls."""

    lowest: Tensor
    inverse_half_range: Tensor

    def __init__(self, *, controls: Sequence[tuple[float, float, float]], channels: Sequence[int]) -> None:
        super().__init__(in_channels=4, condition_dim=len(controls), channels=channels)
        low, inverse = control_scale(controls)
        self.register_buffer("lowest", low)
        self.register_buffer("inverse_half_range", inverse)

    def forward(self, pictures: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge.

        Args:
            pictures: float [N, 4, S, S], premultiplied, 0..1.
            condition: the controls, float [N, c], natural units.

        Returns:
            realness [N, 1, S', S'], higher is more real; hidden features for feature matching.
        """
        return super().forward(pictures, (condition - self.lowest) * self.inverse_half_range - 1.0)
