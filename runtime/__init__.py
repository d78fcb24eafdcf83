"""Plays characters live with numpy and an inference library, never torch."""
