"""Where streams are found, and who may connect: addresses, places, keys. Opens no ZeroMQ socket."""
