"""The latent prior as ONNX bytes."""

from __future__ import annotations

import copy

import torch

from training.latents.people import Mapping
from training.onnx_export import onnx_of


def mapping_graph(mapping: Mapping) -> bytes:
    """`z` float32 [N, z_dim] -> `w` float32 [N, w_dim]."""
    return onnx_of(copy.deepcopy(mapping).eval().float(), (torch.zeros(2, mapping.z_dim),), ["z"], ["w"])
