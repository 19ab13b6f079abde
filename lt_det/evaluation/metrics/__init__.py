"""From matches to numbers."""
