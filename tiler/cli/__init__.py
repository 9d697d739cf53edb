"""The command line: `firstlight COMMAND ...`.

A command is a module here with `add(commands)`, which declares its arguments and examples, and a function that does the
work and returns an exit code. Modules import what they need when they run, so that `--help` comes at once.

Exit codes: 0 done; 1 it could not be done, one line on stderr says why; 2 the command line makes no sense; 130 Ctrl-C.
Results go to stdout, everything else to stderr.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from firstlight import __version__
from firstlight.cli import info, ingest, preview, serve, verify
from firstlight.cli.arguments import Formatter, UsageError

EPILOG = """\
first steps:
  firstlight demo                                  real images in the browser, in one command
  firstlight view slide.svs                        any image of yours
  firstlight ingest slide.svs images/slide.zarr    store it, losslessly, once
  firstlight serve images                          and show everything that is there

`firstlight COMMAND --help` has examples for each command.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="firstlight",
        description="Big images, stored once without loss, on the screen coarse first over plain HTTP.",
        epilog=EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="version", version=f"firstlight {__version__}")
    parser.add_argument("--debug", action="store_true", default=False, help="show the traceback of a failure")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in (ingest, serve, preview, info, verify):
        module.add(commands)
    for command in commands.choices.values():
        # After the command too; SUPPRESS keeps what was said before it.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = build_parser().parse_args(argv)
    # A service manager's stop takes the same way out as Ctrl-C: what is half written is removed.
    signal.signal(signal.SIGTERM, _stop)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BaseException as error:
        if args.debug and not isinstance(error, SystemExit):
            raise
        return _explain(args.command, error)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _explain(command: str, error: BaseException) -> int:
    """Say in a line what went wrong; the exit code."""
    from firstlight.errors import CodecError, FirstlightError

    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case KeyboardInterrupt():
            said, code = "interrupted", 130
        case BrokenPipeError():
            # Whoever read our output (`| head`) has gone: nobody to tell. Nothing may be flushed there at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case UsageError():
            said, code = str(error), 2
        case FirstlightError() | CodecError() | IndexError():
            said, code = str(error), 1
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            said, code = f"{named}{error.strerror or error}", 1
        case MemoryError():
            said, code = f"not enough memory ({error})" if str(error) else "not enough memory", 1
        case _:
            said = f"unexpected {type(error).__name__}: {error} (a defect of firstlight; --debug shows where)"
            code = 1
    print(f"firstlight {command}: {said}".replace("\n", " "), file=sys.stderr)
    return code
