"""Decide what a COCO- or LVIS-format annotation file means, once for every tool."""
