"""Print lt_det's config keys: name, default, meaning, and who reads them.

python -m lt_det.config                # all
python -m lt_det.config '*META*'       # those that match
"""

import argparse
import sys

from lt_det.config.listing import format_keys


def main(argv=None) -> int:
    """Parse arguments and print."""
    parser = argparse.ArgumentParser(
        prog="python -m lt_det.config",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("glob", nargs="?", default="*", help="of key names, in any case")
    try:
        print(format_keys(parser.parse_args(argv).glob))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
