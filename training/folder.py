"""A folder of pictures into a data set, for scripts and notebooks; `training.data.folder` says how."""

from training.data.folder import import_folder
from training.data.mapping import read_mapping

__all__ = ["import_folder", "read_mapping"]
