"""Import of a folder of pictures as a data set, for scripts and notebooks; see `training.data.folder`."""

from training.data.folder import import_folder
from training.data.mapping import read_mapping

__all__ = ["import_folder", "read_mapping"]
