"""Generators of fewer bits, and the gate that judges them."""
