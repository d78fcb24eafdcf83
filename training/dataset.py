"""A data set on disk, for scripts and notebooks; see `training.data.dataset`."""

from training.data.dataset import Dataset, Manifest, open_dataset

__all__ = ["Dataset", "Manifest", "open_dataset"]
