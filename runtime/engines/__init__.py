"""Inference engines: one file per library, and the choice between them."""
