"""Exit codes: what a script learns from the command without reading what it says."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from netio import errors

OK = 0
FAILED = 1
USAGE = 2
NOT_CONNECTED = 3
TIMED_OUT = 4
BROKEN = 5
NOT_WRITTEN = 6
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

MEANINGS = f"""\
exit codes:
  {OK}    all went well
  {FAILED}    the status is 400 or above, and --fail given; or a request of
       bench, compare or demo had no answer
  {USAGE}    the command line or the URL is wrong, or something is not installed
  {NOT_CONNECTED}    no connection: the name, the network or the certificate
  {TIMED_OUT}    a time limit passed
  {BROKEN}    the connection broke, or the server did not keep to HTTP
  {NOT_WRITTEN}    the output could not be written
  {INTERRUPTED}  interrupted by Ctrl-C
"""


class CommandError(Exception):
    """The command ends here, with a line for people (none if empty) and a code for scripts."""

    code = FAILED


class Usage(CommandError):
    """The command cannot be carried out as it was given."""

    code = USAGE


class NotWritten(CommandError):
    """The output could not be written."""

    code = NOT_WRITTEN


def require(package: str, extra: str) -> None:
    """Raise `Usage` if an optional dependency of the command is not installed."""
    if find_spec(package) is None:
        raise Usage(f"{package} is not installed: pip install 'netio-http[{extra}]'")


def verdict(error: BaseException) -> tuple[int, str] | None:
    """Return the exit code and the line for people, or None for what only a programming error can raise."""
    causes = list(_causes(error))
    if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
        return INTERRUPTED, ""
    for cause in causes:
        if isinstance(cause, CommandError):
            return cause.code, str(cause)
        if isinstance(cause, errors.NetioError):
            return _code_of(cause), str(cause)
        if isinstance(cause, OSError):  # all others are translated: those of outputs, and of the network
            return USAGE, f"a file of the request cannot be read: {cause.strerror or cause}"
    return None


def _code_of(error: errors.NetioError) -> int:
    if isinstance(error, errors.InvalidRequest):
        return USAGE
    if isinstance(error, errors.TimeoutError):
        return TIMED_OUT
    if isinstance(error, errors.ConnectError):
        return NOT_CONNECTED
    return BROKEN


def _causes(error: BaseException) -> Iterator[BaseException]:
    # A task group wraps what ends it in a group, on trio even Ctrl-C.
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error
