"""Which versions of HTTP a pool speaks, and what it offers for that in TLS (RFC 7301)."""

from __future__ import annotations

from typing import Literal

Http2Wish = bool | Literal["prior-knowledge"]
"""True: if the server agrees by ALPN; False: never; "prior-knowledge": always, also in clear text."""

ALPN: dict[Http2Wish, tuple[str, ...]] = {
    True: ("h2", "http/1.1"),
    False: ("http/1.1",),
    "prior-knowledge": ("h2",),
}
