"""Data sets, class statistics, samplers and loaders."""
