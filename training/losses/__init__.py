"""Losses. Each states its equation and its source."""
