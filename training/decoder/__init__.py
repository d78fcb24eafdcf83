"""The decoder: one network that draws every pixel of a person from an identity latent and controls."""
