"""What turns identities and controls into pixels: one file for each library, and who gets to play."""
