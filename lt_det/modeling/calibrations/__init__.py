"""Post-hoc calibrations, one paper a file."""
