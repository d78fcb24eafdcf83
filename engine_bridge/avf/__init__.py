"""The `avf/1` protocol: records, their encoding, and pixel transport. Opens no socket."""
