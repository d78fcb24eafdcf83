"""Data sets: how they are read, and how anyone's pictures become one."""
