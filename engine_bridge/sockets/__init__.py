"""ZeroMQ sockets as the protocol wants them: bounded, encrypted, shared by streams. Knows bytes, no frames."""
