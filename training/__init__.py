"""The trainer: data, networks, the loop, evaluation and export. The only package that loads torch."""
