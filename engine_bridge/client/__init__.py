"""The side that shows frames and sends controls."""
