"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
# Real data beside the checkout. Tests that read it skip where it is absent.
SHARED_DATA = ROOT.parent / "shared" / "data"
