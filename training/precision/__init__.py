"""Reduced-precision generators, and the gate that judges them."""
