"""The portrait generator: draws who somebody is, once, as the reference layers that the animator moves."""
