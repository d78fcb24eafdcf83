"""What plays characters live: numpy and an inference library, never torch."""
