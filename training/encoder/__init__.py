"""From a picture to the latent from which the portrait generator draws the person."""
