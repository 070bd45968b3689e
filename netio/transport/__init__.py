"""Bytes on the network: links, TLS, dialing, and what netio needs of an event loop."""

from netio.transport._contract import HIGH_WATER, Link, Receiver
from netio.transport._dial import Connect, Dial, Dialer
from netio.transport._runtime import Background, Runtime, Waiter, current_runtime, wake
from netio.transport._stream_link import StreamLink
from netio.transport._tls import TLSChannel, tls_context

__all__ = [
    "HIGH_WATER",
    "Background",
    "Connect",
    "Dial",
    "Dialer",
    "Link",
    "Receiver",
    "Runtime",
    "StreamLink",
    "TLSChannel",
    "Waiter",
    "current_runtime",
    "tls_context",
    "wake",
]
