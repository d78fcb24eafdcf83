"""Who somebody is as numbers: latents from attributes, and people from noise. For methods that draw people."""
