"""Which connection goes to which address of which name, so that connections follow a name that moves.

A name that is in use is looked up again and again (`Names.use`). When it turns out to have other addresses, connections
to those that it has no longer are retired: what they are doing they finish, and nothing new is begun on them. No
address of a name vanishes because it was not answered this time: `Names` tells only what a resolver has said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netio.protocol import Connection
from netio.transport import Address, Names, parse_address


class Whereabouts:
    """See the module's docstring. `retire` is called for each connection that is to end."""

    def __init__(self, names: Names, retire: Callable[[Connection], None]) -> None:
        self._names = names
        self._retire = retire
        self._addresses: dict[Connection, Address] = {}
        self._by_host: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def opened(self, connection: Connection, address: Address | None) -> None:
        """Note a connection, unless it is nobody's address, or the name is the address itself."""
        if address is None or address.host == str(address.ip):
            return
        self._addresses[connection] = address
        self._by_host.setdefault(address.host.lower(), set()).add(connection)
        self._names.use(address.host)

    def check(self, connection: Connection) -> None:
        """Retire a connection whose name has moved while it was being opened."""
        address = self._addresses.get(connection)
        known = None if address is None else self._names.addresses(address.host)
        if address is not None and known is not None and address.ip not in _parsed(known):
            self._retire(connection)

    def closed(self, connection: Connection) -> None:
        address = self._addresses.pop(connection, None)
        if address is None:
            return
        host = address.host.lower()
        connections = self._by_host[host]
        connections.discard(connection)
        if not connections:
            del self._by_host[host]
        self._names.release(address.host)

    def moved(self, host: str, addresses: Iterable[str]) -> None:
        """A name has these addresses from now on."""
        there = _parsed(addresses)
        for connection in list(self._by_host.get(host.lower(), ())):
            if self._addresses[connection].ip not in there:
                self._retire(connection)


def _parsed(addresses: Iterable[str]) -> set[object]:
    return {parse_address(address) for address in addresses}
