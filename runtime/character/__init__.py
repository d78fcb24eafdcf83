"""Character files: their contents, their guarantees, and their identities."""
