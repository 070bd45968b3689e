"""NetrcAuth: user names and passwords from the file that curl and ftp read."""

from __future__ import annotations

import netrc
import os
from pathlib import Path

from anyio import to_thread

from netio.errors import CredentialsError
from netio.message import Request, Response, Send
from netio.policy._auth import basic, is_led_away
from netio.policy._fields import has_field


class NetrcAuth:
    """Look the host of a request up in a netrc file, and send what stands there by Basic.

    * `path`: the file; without it that of the environment variable NETRC, or ~/.netrc. It is read once, at the first
      request; if there is none, nothing is sent.

    The host has to be the same; the `default` entry counts for nothing, and no redirect to another origin finds
    anything (HAZARDS RED-05). A request that has an Authorization field, or whose URL has a user name, keeps that.
    Raises `CredentialsError` for a file that cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path or os.environ.get("NETRC") or "~/.netrc")
        self._fields: dict[str, str] | None = None

    async def __call__(self, request: Request, send: Send) -> Response:
        url = request.url
        if url.username is not None or is_led_away(request) or has_field(request.fields, "authorization"):
            return await send(request)
        if self._fields is None:
            try:
                self._fields = await to_thread.run_sync(read_netrc, self._path)
            except (OSError, RuntimeError, ValueError, netrc.NetrcParseError) as error:
                # Not what the error says: a line that cannot be read may be one with a password.
                raise CredentialsError(
                    f"{self._path} cannot be read as a netrc file: {type(error).__name__}", request=request
                ) from None
        field = self._fields.get(url.host)
        return await send(request if field is None else request.with_field("authorization", field))


def read_netrc(path: Path) -> dict[str, str]:
    """Return the Authorization field for each host of a netrc file."""
    try:
        found = netrc.netrc(str(path.expanduser()))
    except FileNotFoundError:
        return {}
    return {
        host.lower(): basic(login, password)
        for host, (login, _, password) in found.hosts.items()
        if host != "default" and password
    }
