"""Losses of K + 1 logits under one softmax, one paper a file."""
