"""Endpoints, stream discovery and keys. Opens no ZeroMQ socket."""
