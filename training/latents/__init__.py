"""Identity latents: from attributes, and from noise. For methods that draw people."""
