"""Drivers that move a character: idle life, recordings, the wire, the window. One file per kind."""
