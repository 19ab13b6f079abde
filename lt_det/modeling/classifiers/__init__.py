"""Classifiers from features to logits, one paper a file."""
