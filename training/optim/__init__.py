"""Optimisers, weight averages, learning-rate schedules."""
