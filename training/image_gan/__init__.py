"""Generators that learn a folder of pictures from a discriminator alone."""
