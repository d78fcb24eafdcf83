"""What moves weights: the optimiser, averages of weights, learning rates over time."""
