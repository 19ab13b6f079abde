"""Trainings of many stage 1 and stage 2 runs, and what was measured on them."""
