"""Losses of one sigmoid a class, one paper a file."""
