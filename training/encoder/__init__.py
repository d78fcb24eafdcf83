"""Who a picture shows, as the latent that the portrait generator draws them from."""
