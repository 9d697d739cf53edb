"""`python -m firstlight`: the command line."""

import sys

from firstlight.cli import main

sys.exit(main())
