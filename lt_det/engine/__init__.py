"""Training: one stage or two."""
