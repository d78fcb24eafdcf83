"""Generators trained on a folder of pictures by a discriminator alone."""
