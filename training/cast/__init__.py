"""A parametric anime portrait drawn by code: an endless, labelled source of training pictures. Needs no torch."""

from .controls_sampling import sample_controls
from .dataset import write_dataset
from .identity import Identity, from_dict, sample_identity
from .named import NAMED_CAST
from .render import regions, render, render_layers

__all__ = [
    "NAMED_CAST",
    "Identity",
    "from_dict",
    "regions",
    "render",
    "render_layers",
    "sample_controls",
    "sample_identity",
    "write_dataset",
]
