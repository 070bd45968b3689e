"""What both ends of HPACK share: the static table (RFC 7541 appendix A) and the size of an entry (section 4.1)."""

from __future__ import annotations

from netio.headers import Field

FIELD_OVERHEAD = 32

STATIC: tuple[Field, ...] = (
    ("", ""),  # indexes begin at 1
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    *(
        (name, "")
        for name in (
            "accept-language",
            "accept-ranges",
            "accept",
            "access-control-allow-origin",
            "age",
            "allow",
            "authorization",
            "cache-control",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-length",
            "content-location",
            "content-range",
            "content-type",
            "cookie",
            "date",
            "etag",
            "expect",
            "expires",
            "from",
            "host",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "last-modified",
            "link",
            "location",
            "max-forwards",
            "proxy-authenticate",
            "proxy-authorization",
            "range",
            "referer",
            "refresh",
            "retry-after",
            "server",
            "set-cookie",
            "strict-transport-security",
            "transfer-encoding",
            "user-agent",
            "vary",
            "via",
            "www-authenticate",
        )
    ),
)

STATIC_SIZE = len(STATIC) - 1  # the dynamic table begins behind it

INDEX_OF_FIELD: dict[Field, int] = {field: index for index, field in enumerate(STATIC) if index and field[1]}
INDEX_OF_NAME: dict[str, int] = {STATIC[index][0]: index for index in range(STATIC_SIZE, 0, -1)}


def size_of(field: Field) -> int:
    return len(field[0]) + len(field[1]) + FIELD_OVERHEAD
