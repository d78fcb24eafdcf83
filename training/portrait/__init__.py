"""The portrait generator: draws a person once, as the reference layers that the animator moves."""
