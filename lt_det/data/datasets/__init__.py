"""From an annotation file to registered records."""
