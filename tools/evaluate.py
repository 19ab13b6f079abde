#!/usr/bin/env python3
"""Evaluate detections of any framework: a results file against a ground-truth file.

See ``python tools/evaluate.py --help`` and :mod:`lt_det.cli.evaluate`.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import sys

from lt_det.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
