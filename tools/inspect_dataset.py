#!/usr/bin/env python3
"""Check a registered data set, print what it contains and plot its class distribution.

See ``python tools/inspect_dataset.py --help`` and :mod:`lt_det.cli.inspect_dataset`.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import sys

from lt_det.cli.inspect_dataset import main

if __name__ == "__main__":
    sys.exit(main())
