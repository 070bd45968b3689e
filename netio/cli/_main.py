"""From a command line to an exit code: the one place where exceptions become lines on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from netio.cli._arguments import BenchOptions, CompareOptions, DemoOptions, Options, ResolveOptions, SendOptions
from netio.cli._exits import USAGE, verdict
from netio.cli._parser import parse
from netio.shown import escaped_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run the netio command with these arguments, by default those of the process, and return its exit code."""
    _open_what_is_closed()
    try:
        return _run(parse(argv))
    except SystemExit as stop:  # argparse has printed what was wrong, the help or the version
        return stop.code if isinstance(stop.code, int) else USAGE
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
    # Each command with what it needs alone: the others' packages may not be installed.
    match options:
        case SendOptions():
            from netio.cli._send import send

            return send(options)
        case BenchOptions():
            from netio.cli._bench import bench

            return bench(options)
        case CompareOptions():
            from netio.cli._compare import compare

            return compare(options)
        case ResolveOptions():
            from netio.cli._resolve import resolve

            return resolve(options)
        case DemoOptions():
            from netio.cli._demo import demo

            return demo(options)


def _open_what_is_closed() -> None:
    """Have both outputs, as after `>&-` Python has None in their place, and the first socket would get their number."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _flush_stdout() -> None:
    """Leave nothing in the buffer of a closed pipe, where the interpreter's exit would trip over it."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
