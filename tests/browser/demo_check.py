"""`make demo-check`: runs the demo and opens every image of it in headless Chromium (see tests/support/demo.py)."""

import asyncio
import sys
import tempfile
from pathlib import Path

from support import demo


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        try:
            asyncio.run(demo.check(Path(folder)))
        except AssertionError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    print("the demo is all right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
