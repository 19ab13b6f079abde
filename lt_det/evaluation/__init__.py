"""Evaluation: LVIS metrics by class-frequency group, reports, bootstrap intervals.

Nothing is imported here, so that `group_metrics`, `matches` and `bootstrap` stay usable without
Detectron2 and without the LVIS API.
"""
