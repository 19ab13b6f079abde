#!/usr/bin/env python3
"""What one or many output folders hold, as Markdown, plots and one HTML page.

See ``python tools/report.py --help`` and :mod:`lt_det.cli.report`.
"""

import lt_det.utils.quiet  # noqa: F401 # isort: skip

import sys

from lt_det.cli.report import main

if __name__ == "__main__":
    sys.exit(main())
