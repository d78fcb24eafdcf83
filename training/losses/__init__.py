"""Losses: what a network is told about its pictures. Each says its equation and where it comes from."""
