"""Getting rid of a response that nobody will see, so that its connection can be used again if that is cheap."""

from __future__ import annotations

from anyio import move_on_after

from netio.errors import RequestError
from netio.message import Response

_SHORT = 16_384
_SECONDS = 0.5


async def discard(response: Response) -> None:
    """Read the body as it was sent if it says that it is short and comes at once, and close the response.

    It is never decoded (HAZARDS DEC-03). A body of unknown or larger length is not worth its bytes: an HTTP/1.1
    connection is given up then, an HTTP/2 stream reset.
    """
    if response.is_closed:
        return
    try:
        if _is_short(response):
            with move_on_after(_SECONDS):
                async for _ in response.aiter_raw():
                    pass
    except RequestError:
        pass  # the body broke off; nobody wanted it
    finally:
        await response.aclose()


def _is_short(response: Response) -> bool:
    length = response.headers.get("content-length", "")
    return length.isascii() and length.isdigit() and len(length) <= 5 and int(length) <= _SHORT
