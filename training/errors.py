"""Errors of the trainer. A message says what happened, where, and how to fix it."""

from __future__ import annotations

from engine_bridge.errors import BunrakuError


class RecipeError(BunrakuError):
    """A training recipe cannot be used."""


class DatasetError(BunrakuError):
    """A data set, or a place for one, cannot be used."""


class CheckpointError(BunrakuError):
    """A checkpoint cannot be read or written."""


class TrainingError(BunrakuError):
    """A training run cannot continue: its numbers are not finite, or another process is training in its folder."""
