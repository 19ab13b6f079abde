"""Makes `import contract` work however pytest was told to import test files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
