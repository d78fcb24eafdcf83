"""Data sets: reading them, and importing pictures into them."""
