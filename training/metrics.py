"""Quality metrics of pictures against ground truth.

All pictures are float32 [N, 4, S, S], premultiplied RGBA, 0..1; the figures return one value per picture.
Higher is better for `psnr` and `ssim`, lower for the errors, which are in 0..1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.errors import DatasetError


def psnr(picture: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over all four channels."""
    mse = (picture - target).square().mean((1, 2, 3))
    return -10 * torch.log10(mse.clamp_min(1e-10))


def ssim(picture: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang 2004, doi:10.1109/TIP.2003.819861) of the luma over mid grey.

    Gaussian window of 11 px and sigma 1.5, K1 = 0.01, K2 = 0.03, mean over the picture.
    """
    a, b = _luma(picture), _luma(target)
    offset = torch.arange(11, dtype=a.dtype) - 5
    line = torch.exp(-offset.square() / (2 * 1.5**2))
    line = (line / line.sum()).view(1, 1, 1, 11)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, line), line.transpose(2, 3))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    quality = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    quality = quality / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return quality.mean((1, 2, 3))


def _luma(picture: Tensor) -> Tensor:
    """Rec. 709 weights on sRGB-encoded values, composited over mid grey."""
    colour = picture[:, :3] + 0.5 * (1 - picture[:, 3:])
    weights = torch.tensor([0.2126, 0.7152, 0.0722], dtype=picture.dtype).view(1, 3, 1, 1)
    return (colour * weights).sum(1, keepdim=True)


def detail(picture: Tensor) -> Tensor:
    """Energy of the finest scale: mean absolute Laplacian. A blurred picture has less than its original."""
    kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=picture.dtype).view(1, 1, 3, 3)
    return F.conv2d(_luma(picture), kernel).abs().mean((1, 2, 3))


def alpha_edge_error(picture: Tensor, target: Tensor, *, band_px: int = 2) -> Tensor:
    """Mean absolute error of alpha within so many pixels of the target's silhouette."""
    alpha, side = target[:, 3:], 2 * band_px + 1
    spread = F.max_pool2d(alpha, side, 1, band_px) + F.max_pool2d(-alpha, side, 1, band_px)
    band = (spread > 0.5).to(alpha.dtype)
    error = (picture[:, 3:] - alpha).abs() * band
    return error.sum((1, 2, 3)) / band.sum((1, 2, 3)).clamp_min(1)


def region_error(picture: Tensor, target: Tensor, boxes: Tensor) -> Tensor:
    """Mean absolute error inside a box.

    Args:
        picture: what was drawn.
        target: ground truth.
        boxes: [N, 4] x0, y0, x1, y1 in 0..1; the result is NaN where a box is empty.
    """
    size = picture.shape[-1]
    centre = (torch.arange(size) + 0.5) / size
    inside_x = (centre >= boxes[:, 0:1]) & (centre < boxes[:, 2:3])
    inside_y = (centre >= boxes[:, 1:2]) & (centre < boxes[:, 3:4])
    inside = (inside_y[:, :, None] & inside_x[:, None, :]).to(picture.dtype)
    error = (picture - target).abs().mean(1)
    return (error * inside).sum((1, 2)) / inside.sum((1, 2))


def figures(drawn: Tensor, wanted: Tensor, boxes: Tensor) -> dict[str, float]:
    """All metrics for some pictures, by their names in a report.

    Args:
        drawn: [N, 4, S, S].
        wanted: ground truth, likewise.
        boxes: [N, 3, 4] of left eye, right eye and mouth, in 0..1; zero if absent.

    Returns:
        median and worst percent of `psnr`, means of the others, and `detail_ratio`, the energy of the finest scale
        relative to the ground truth. No errors of eyes or mouths without boxes.
    """
    decibel = psnr(drawn, wanted)
    out = {
        "psnr_median_db": float(decibel.median()),
        "psnr_p1_db": float(torch.quantile(decibel, 0.01)),
        "ssim_mean": float(ssim(drawn, wanted).mean()),
        "alpha_edge_error": float(alpha_edge_error(drawn, wanted).mean()),
        "detail_ratio": float(detail(drawn).mean() / detail(wanted).mean()),
    }
    for name, columns in (("eye", (0, 1)), ("mouth", (2,))):
        errors = torch.cat([region_error(drawn, wanted, boxes[:, column]) for column in columns])
        if not errors.isnan().all():
            out[f"{name}_error"] = float(errors.nanmean())
    return {key: round(value, 5) for key, value in out.items()}


def comparable_px(size_px: int, asked: int | None) -> int:
    """The size for comparing pictures.

    Args:
        size_px: their size.
        asked: a smaller one; None for their own.

    Raises:
        DatasetError: they cannot be reduced to it.
    """
    at_px = asked or size_px
    if at_px > size_px or size_px % at_px:
        raise DatasetError(f"Pictures of {size_px} px cannot be compared at {at_px} px. Divide them by 1, 2, 4 …")
    return at_px


def reduced(pictures: Tensor, size_px: int) -> Tensor:
    """Blocks of pixels averaged: [N, 4, S, S] -> [N, 4, size_px, size_px]."""
    factor = pictures.shape[-1] // size_px
    return F.avg_pool2d(pictures, factor) if factor > 1 else pictures
