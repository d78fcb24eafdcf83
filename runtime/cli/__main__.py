"""`python -m runtime.cli`."""

from runtime.start import main

main()
