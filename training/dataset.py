"""A data set on disk, for scripts and notebooks; `training.data.dataset` says what it is."""

from training.data.dataset import Dataset, Manifest, open_dataset

__all__ = ["Dataset", "Manifest", "open_dataset"]
