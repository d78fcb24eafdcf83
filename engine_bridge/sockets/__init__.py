"""ZeroMQ sockets as the protocol needs them: bounded, encrypted, shared by streams."""
