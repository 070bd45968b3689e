"""From a command line to an exit code: the one place where exceptions become lines on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from netio.cli._arguments import GetOptions, Options, parse
from netio.cli._exits import USAGE, verdict
from netio.cli._screen import escaped_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run the netio command with these arguments, by default those of the process, and return its exit code."""
    try:
        options = parse(argv)
    except SystemExit as stop:  # argparse has printed what was wrong, the help or the version
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        return _run(options)
    except BaseException as error:
        found = verdict(error)
        if found is None:
            raise
        code, message = found
        if message:
            print(f"netio: {escaped_line(message)}", file=sys.stderr)
        return code
    finally:
        _flush_stdout()


def _run(options: Options) -> int:
    if isinstance(options, GetOptions):
        from netio.cli._get import get

        return get(options)
    from netio.cli._demo import demo

    return demo(options)


def _flush_stdout() -> None:
    """Leave nothing in the buffer of a closed pipe, where the interpreter's exit would trip over it."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
