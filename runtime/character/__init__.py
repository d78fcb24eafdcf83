"""Character files: what they hold, what they promise, and who is in them."""
