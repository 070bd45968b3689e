"""Header fields: ordered, case-insensitive, validated when written, indexed only when somebody looks one up.

Names and values are `str` throughout netio. On the wire they are latin-1, so that whatever a peer sends (obs-text,
RFC 9110 section 5.5) survives unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from operator import itemgetter
from typing import cast

from multidict import CIMultiDict

from netio.errors import InvalidRequest

Field = tuple[str, str]
"""One field line: name and value."""

HeaderInput = Mapping[str, str] | Iterable[Field]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # token, RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch  # field-content with obs-text, section 5.5

# What a trailer section must not have, because it would come too late or speak for something else: framing, routing,
# control of the connection, authentication, and how the content is to be read (RFC 9110 section 6.5.1).
NOT_IN_TRAILERS = frozenset(
    (
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "keep-alive",
        "location",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    )
)


def checked_field(name: str, value: str) -> Field:
    """Return a field that can be sent, or raise `InvalidRequest` (HAZARDS REQ-01)."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise InvalidRequest(f"header names and values are str, not {type(name).__name__} and {type(value).__name__}")
    if not _NAME(name):
        raise InvalidRequest(f"{name[:80]!a} is not a header name (RFC 9110 section 5.1)")
    value = value.strip(" \t")
    if not _VALUE(value):
        # The value is not shown: it may be a secret.
        raise InvalidRequest(f"the value of header {name} has a line break, a control character or no latin-1 form")
    return name, value


class Headers(MutableMapping[str, str]):
    """Header fields in the order they were given.

    `headers["accept"]` joins repeated fields by a comma (RFC 9110 section 5.3), `get_list` gives them one by one, which
    is what Set-Cookie needs. Setting a name replaces all its fields; `add` appends one.
    Raises `InvalidRequest` for a name or value that cannot be sent.
    """

    __slots__ = ("_fields", "_index")

    def __init__(self, fields: HeaderInput = ()) -> None:
        self._fields: tuple[Field, ...]
        if isinstance(fields, Headers):
            self._fields = fields.fields
        else:
            pairs = cast("Mapping[str, str]", fields).items() if isinstance(fields, Mapping) else fields
            self._fields = tuple(checked_field(name, value) for name, value in pairs)
        self._index: CIMultiDict[str] | None = None

    @classmethod
    def received(cls, fields: tuple[Field, ...]) -> Headers:
        """Wrap fields that an engine has already validated."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._index = None
        return headers

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields as an immutable tuple, which caches of encoded heads go by."""
        return self._fields

    def _lookup(self) -> CIMultiDict[str]:
        index = self._index
        if index is None:
            index = self._index = CIMultiDict(self._fields)
        return index

    def get_list(self, name: str) -> list[str]:
        return self._lookup().getall(name, [])

    def add(self, name: str, value: str) -> None:
        self._fields = (*self._fields, checked_field(name, value))
        self._index = None

    def copy(self) -> Headers:
        return Headers(self)

    def __getitem__(self, name: str) -> str:
        values = self._lookup().getall(name)
        return values[0] if len(values) == 1 else ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        field = checked_field(name, value)
        lowered = name.lower()
        kept = [other for other in self._fields if other[0].lower() != lowered]
        place = next((i for i, other in enumerate(self._fields) if other[0].lower() == lowered), len(kept))
        kept.insert(place, field)
        self._fields = tuple(kept)
        self._index = None

    def __delitem__(self, name: str) -> None:
        lowered = name.lower()
        kept = tuple(field for field in self._fields if field[0].lower() != lowered)
        if len(kept) == len(self._fields):
            raise KeyError(name)
        self._fields = kept
        self._index = None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._lookup()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._fields))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._fields})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping | Iterable):
            return NotImplemented
        try:
            return self._canonical() == Headers(other)._canonical()
        except (TypeError, ValueError):
            return NotImplemented  # it holds something else than fields

    def _canonical(self) -> list[Field]:
        """Return the fields sorted by name; the order of equal names means something (RFC 9110 section 5.3)."""
        return sorted(((name.lower(), value) for name, value in self._fields), key=itemgetter(0))

    def __repr__(self) -> str:
        return f"Headers({[(name, _shown(name, value)) for name, value in self._fields]!r})"


_SECRET = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))


def _shown(name: str, value: str) -> str:
    return "[secret]" if name.lower() in _SECRET else value


def checked_trailers(trailers: HeaderInput) -> tuple[Field, ...]:
    """Return fields that can be sent behind a body, or raise `InvalidRequest`."""
    fields = Headers(trailers).fields
    for name, _ in fields:
        if name.lower() in NOT_IN_TRAILERS:
            raise InvalidRequest(f"the field {name} has no place behind a body (RFC 9110 section 6.5.1)")
    return fields
