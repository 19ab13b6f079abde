"""lt_det's config keys. ``python -m lt_det.config [GLOB]`` prints them."""

import sys

if sys.argv[0] == "-m":  # as long as Python looks for __main__: a command, without others' notices
    import lt_det.utils.quiet  # noqa: F401

from lt_det.config.add import add_lt_det_config
from lt_det.config.checks import check_config

__all__ = ["add_lt_det_config", "check_config"]
