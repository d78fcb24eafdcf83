"""What moves a character: idle life, recordings, the wire, the window. One file for each kind."""
