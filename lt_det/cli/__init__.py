"""Command lines: arguments, messages and exit statuses."""
