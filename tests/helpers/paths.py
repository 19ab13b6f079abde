"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
# Real data beside the checkout. Tests that read it skip where it is absent.
SHARED_DATA = ROOT.parent / "shared" / "data"
# Annotations of LVIS, CC BY 4.0, which the file attributes; without the images.
LVIS_TWO_IMAGES = ROOT / "tests" / "helpers" / "lvis_two_images.json"
