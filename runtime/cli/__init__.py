"""The command line `bunraku`: one file per command."""
