"""Feature augmentations, one paper a file."""
