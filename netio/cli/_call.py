"""From what was asked on the command line to a session and the arguments of its requests."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from netio.cli._arguments import Message, Wire
from netio.cli._exits import Usage
from netio.client import Session
from netio.deadline import Timeouts
from netio.pool import Limits
from netio.transport import InsecureWarning


def make_session(wire: Wire, message: Message | None = None, *, limits: Limits | None = None) -> Session:
    """Return a session without policies: a person wants to see what one request does, not what a retry makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureWarning)  # who writes --insecure knows
        session = Session(policies=(), http2=wire.http2, verify=wire.verify, proxy=wire.proxy, limits=limits)
    for name in message.items.without if message is not None else ():
        session.headers.pop(name, None)
    return session


def request_options(message: Message, wire: Wire) -> dict[str, Any]:
    """Return what `Session.request` is given besides method and URL. Raises `Usage` for a body that cannot be read."""
    items = message.items
    options: dict[str, Any] = {"headers": items.headers, **timeout_options(wire), **_body(message)}
    if items.params:
        options["params"] = items.params
    if message.auth is not None:
        options["auth"] = message.auth
    return options


def timeout_options(wire: Wire) -> dict[str, Any]:
    """Return `timeout` as an option of a request, if one was given."""
    if wire.timeout is None:
        return {}
    seconds = wire.timeout
    return {"timeout": Timeouts(total=seconds, pool=seconds, read=seconds, write=seconds)}


def _body(message: Message) -> dict[str, Any]:
    items = message.items
    if message.raw is not None:
        return {"content": _raw(message.raw)}
    if not items.has_body:
        return {}
    if not message.form:
        return {"json": items.data}
    return {"data": items.form, "files": items.files} if items.files else {"data": items.form}


def _raw(text: str) -> bytes:
    if not text.startswith("@"):
        return os.fsencode(text)  # the bytes that were given, also if they are no text
    try:
        return sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).expanduser().read_bytes()
    except OSError as error:
        raise Usage(f"the body cannot be read from {text[1:]}: {error.strerror}") from None
