"""What the commands' arguments have in common."""

import argparse
import shutil


class UsageError(Exception):
    """The command line makes no sense, in a way that only shows when the command runs."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Examples stay as they are written; the columns are narrow enough to read."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(shutil.get_terminal_size().columns - 2, 100))


def count(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, not {text}")
    return value


def index(text: str) -> int:
    """A whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number from 0, not {text}")
    return value


def port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 (any free one) to 65535, not {text}")
    return value


# argparse names the function in its message: "invalid count value: 'x'".
index.__name__ = "number"
count.__name__ = "number"
