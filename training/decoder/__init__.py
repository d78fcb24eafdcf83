"""The decoder: one network that draws every pixel of anybody from an identity latent and controls."""
