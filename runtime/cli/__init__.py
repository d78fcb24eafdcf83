"""The command line `bunraku`: one file for each command."""
