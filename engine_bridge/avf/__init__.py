"""The protocol `avf/1`: what messages mean, how they become bytes, and where pixels lie. Opens no socket."""
