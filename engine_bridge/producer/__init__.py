"""The side that makes frames and takes controls."""
