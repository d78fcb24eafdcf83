"""Outputs besides the wire: films, recordings, cameras. A sink that cannot keep up skips pictures."""
