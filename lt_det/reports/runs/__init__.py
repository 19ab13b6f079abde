"""The report on output folders."""
