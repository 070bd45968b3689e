"""From an origin to a Link, step by step.

1. `Proxies.choose`: is there a proxy in between? If so, steps 2 and 3 are about the proxy.
2. Resolve the name, by the cache of names. Each address that is found carries the name it was found under.
3. Connect to one of its addresses (`_eyeballs.py` says in which order), each of which the address policy is asked about
   right before: what is checked and what is connected to is one object, and no name is resolved twice.
4. The proxy, if there is one: TLS with it, and a tunnel through it, unless it forwards requests.
5. TLS with the origin, and ALPN.

A dial has no time limit of its own: the pool that owns it cancels it, and asks `Dial.phase` how far it had come. It is
told its deadline only to divide what time there is among the addresses.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import anyio
from anyio.abc import ByteStream

from netio.deadline import Clock, SystemClock, deadline_after
from netio.errors import AddressRefused, ConnectError, Phase, ResolveError, TLSError, TriedAddress
from netio.observe import Observer
from netio.transport._address_policy import Address
from netio.transport._broken import BROKEN, close_stream, words
from netio.transport._contract import Link
from netio.transport._dial_attempt import Racing, connect_unix, refused, why_refused
from netio.transport._dial_news import DialNews
from netio.transport._dial_places import Places, fitting, places_of
from netio.transport._dns_contract import Answer
from netio.transport._dns_names import Names, OnChange
from netio.transport._dns_rules import is_address
from netio.transport._dns_system import resolver_threads
from netio.transport._eyeballs import Race, Winners, in_turn, sentence
from netio.transport._network import Network
from netio.transport._proxy import Forward, Proxy
from netio.transport._proxy_choice import Proxies
from netio.transport._proxy_tunnel import tunnel
from netio.transport._runtime import Runtime
from netio.transport._socket_link import SocketLink
from netio.transport._socket_stream import SocketStream
from netio.transport._stream_link import StreamLink
from netio.transport._tls import TLSChannel
from netio.transport._tls_client import TLSClient
from netio.transport._tls_settings import Verify
from netio.transport._tls_stream import TLSStream
from netio.url import Origin

Connect = Callable[[str, int], Awaitable[ByteStream]]
"""Opens a byte stream to a host and port: a hook for other networks, tunnels and tests."""

Stream = ByteStream | SocketStream

PROXY_ALPN = ("http/1.1",)


class Dial:
    """One attempt to open a connection to an origin: how far it has come, and how many seconds each phase took.

    * `alpn`: the protocols to be offered instead of the dialer's. `deadline`: when its owner will cancel it.
    * `news`: what it has found out on the way, for the connection and for the observer.
    * `address`: what was connected to, with the name it belongs to; None where netio does not know: on a unix socket,
      and where a `connect` hook has opened the stream. `forward`: how requests are sent, if a proxy forwards them.
    """

    __slots__ = ("_since", "address", "alpn", "clock", "deadline", "forward", "news", "origin", "phase", "race", "took")

    def __init__(
        self,
        origin: Origin,
        clock: Clock | None = None,
        alpn: tuple[str, ...] | None = None,
        observer: Observer | None = None,
        *,
        seconds: float | None = None,
    ) -> None:
        self.alpn = alpn
        self.clock = clock or SystemClock()
        self._since = self.clock.now()
        self.deadline = deadline_after(self._since, seconds)
        self.origin = origin
        self.phase: Phase = "resolve"
        self.took: dict[Phase, float] = {}
        self.address: Address | None = None
        self.forward: Forward | None = None
        self.race: Race | None = None
        self.news = DialNews(self._elapsed, observer)

    def _elapsed(self) -> float:
        return self.clock.now() - self._since

    def enter(self, phase: Phase) -> None:
        """Begin another phase."""
        self.end()
        self.phase = phase

    def end(self) -> None:
        """Count what the phase has taken until now."""
        now = self.clock.now()
        self.took[self.phase] = self.took.get(self.phase, 0.0) + now - self._since
        self._since = now

    @property
    def tried(self) -> tuple[TriedAddress, ...]:
        """The addresses that no connection has come about with, or not yet."""
        if self.race is None or self.address is not None:
            return ()
        return self.race.tried(self.clock.now())

    def story(self) -> str:
        """Say in words what has come of each address; empty if none was tried in vain."""
        tried = self.tried
        return f": {sentence(tried)}" if tried else ""


class Dialer:
    """Opens links. One for each pool, and so for one event loop, network, trust setting and list of protocols.

    `on_change` is told when a name with open connections has moved; see `Names`.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        verify: Verify,
        alpn: tuple[str, ...],
        connect: Connect | None = None,
        network: Network | None = None,
        proxies: Proxies | None = None,
        clock: Clock | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        self._runtime = runtime
        self._alpn = alpn
        self._connect = connect
        self._network = network or Network()
        self._proxies = proxies
        self._threads = resolver_threads()
        self._tls = TLSClient(verify, self._threads)
        self._proxy_tls: dict[Proxy, TLSClient] = {}
        self._winners = Winners()
        self.names = Names(
            self._network.resolver,
            runtime=runtime,
            clock=clock or SystemClock(),
            hosts=self._network.hosts,
            on_change=on_change,
        )

    @property
    def tls(self) -> TLSClient:
        return self._tls

    async def aclose(self) -> None:
        """End what is under way about names. Links that were opened are not the dialer's."""
        await self.names.aclose()

    async def dial(self, dial: Dial) -> Link:
        """Open a link. Raises `ConnectError` and its kin; whatever else happens, no socket is left open."""
        origin = dial.origin
        proxy = None if self._proxies is None else self._proxies.choose(origin)
        stream = await self._open(dial, proxy)
        channel: TLSChannel | None = None
        try:
            dial.news.connected(stream)
            if proxy is not None:
                stream, channel = await self._pass(proxy, stream, dial)
            if origin.is_tls:
                dial.enter("tls")
                alpn = dial.alpn or self._alpn
                channel = await self._tls.secure(stream, origin.host, origin.port, alpn=alpn)
                dial.news.secured(channel)
            if isinstance(stream, SocketStream):
                return SocketLink(stream.detach(), self._runtime, channel)
            return StreamLink(stream, self._runtime, channel)
        except BaseException:
            await close_stream(stream)
            raise

    # ------------------------------------------------------------------ resolve and connect

    async def _open(self, dial: Dial, proxy: Proxy | None) -> Stream:
        target = dial.origin if proxy is None else proxy.origin
        where = str(target) if proxy is None else f"the proxy {proxy}"
        if self._connect is not None:
            dial.enter("connect")
            try:
                return await self._connect(target.host, target.port)
            except (*BROKEN, anyio.EndOfStream) as error:
                raise ConnectError(f"cannot connect to {where}: {words(error)}") from error
        path = self._network.unix_socket
        if path is not None:
            dial.enter("connect")
            return await self._open_unix(path, dial)
        is_cached = self.names.addresses(target.host) is not None
        answer = await self.names.look_up(target.host, target.port)
        places = await self._places(target, answer, dial) if proxy is None else places_of(target, answer)
        if not is_address(target.host):
            dial.news.resolved(target.host, answer.addresses, is_cached=is_cached)
        dial.enter("connect")
        return await self._reach(places, target, where, dial)

    async def _open_unix(self, path: str | os.PathLike[str], dial: Dial) -> SocketStream:
        try:
            sock = await connect_unix(path, self._network, self._runtime, dial.clock)
        except OSError as error:
            raise ConnectError(f"cannot connect to the unix socket {os.fspath(path)}: {words(error)}") from error
        return SocketStream(sock, self._runtime)

    async def _places(self, origin: Origin, answer: Answer, dial: Dial) -> Places:
        """Return where an origin is served, what its HTTPS records say first (RFC 9460 section 3)."""
        alpn = dial.alpn or self._alpn
        found: Places = {}
        for binding in fitting(answer.bindings, origin, alpn):
            served = answer
            if binding.target.lower() != origin.host.rstrip(".").lower():
                try:
                    served = await self.names.look_up(binding.target)
                except ResolveError:  # an alias that leads nowhere; there are the addresses of the name itself
                    continue
            found.update(places_of(origin, served, alpn, binding=binding))
        return found | {place: alpn for place in places_of(origin, answer) if place not in found}

    async def _reach(self, places: Places, target: Origin, where: str, dial: Dial) -> SocketStream:
        """Connect to one of the places of a host, and remember which."""
        network, clock, winners = self._network, dial.clock, self._winners
        usable = self._usable(places, where)
        order = in_turn(usable, first=winners.get(target.host, target.port), limit=network.max_attempts)
        race = dial.race = Race(
            order,
            clock.now(),
            deadline=dial.deadline,
            delay=network.attempt_delay,
            attempt_timeout=network.attempt_timeout,
        )
        won = await Racing(race, network, self._runtime, clock).run()
        for failure in race.failures:
            winners.failed(target.host, target.port, failure.address)
        if won is None:
            raise _lost(race, where, clock.now(), untried=len(usable) - len(order))
        dial.address, sock = won
        winners.won(target.host, target.port, dial.address)
        dial.alpn = places[dial.address] or dial.alpn
        return SocketStream(sock, self._runtime)

    def _usable(self, places: Places, where: str) -> list[Address]:
        own = self._network.local_address
        if own is None:
            return list(places)
        family = ip_address(own).version
        usable = [place for place in places if place.family == family]
        if not usable:
            raise ConnectError(f"cannot connect to {where}: it has no IPv{family} address, as Network.local_address is")
        return usable

    # ------------------------------------------------------------------ proxies

    async def _pass(self, proxy: Proxy, stream: Stream, dial: Dial) -> tuple[Stream, TLSChannel | None]:
        """Get by a proxy that a stream is connected to; return what leads on, and TLS if what is sent needs it."""
        origin = dial.origin
        channel: TLSChannel | None = None
        address = await self._address_for(proxy, dial)
        dial.enter("proxy")
        if proxy.kind == "https":
            channel = await self._secure_proxy(proxy, stream)
        dial.forward = proxy.forward(origin, in_http2=(dial.alpn or self._alpn) == ("h2",))
        if dial.forward is not None:
            return stream, channel
        if channel is not None:
            stream, channel = TLSStream(stream, channel), None
        await tunnel(stream, origin, proxy, address=address)
        return stream, channel

    async def _secure_proxy(self, proxy: Proxy, stream: Stream) -> TLSChannel:
        client = self._proxy_tls.get(proxy)
        if client is None:
            client = self._proxy_tls[proxy] = TLSClient(proxy.verify, self._threads)
        try:
            return await client.secure(stream, proxy.host, proxy.port, alpn=PROXY_ALPN)
        except TLSError as error:
            error.args = (f"no TLS with the proxy {proxy}: {error.args[0] if error.args else error}",)
            error.phase = "proxy"
            raise

    async def _address_for(self, proxy: Proxy, dial: Dial) -> str:
        """Return the address that a proxy is to connect to; empty if it is told the name.

        What netio knows of it the policy is asked about: an address in the URL, or what a name was resolved to here.
        """
        origin, policy = dial.origin, self._network.address_policy
        is_literal = is_address(origin.host)
        if not is_literal and proxy.kind != "socks5":
            return ""
        dial.enter("resolve")
        places = places_of(origin, await self.names.look_up(origin.host, origin.port))
        error: AddressRefused | None = None
        # There is one attempt only, and more proxies are without IPv6 than without IPv4.
        for place in sorted(places, key=lambda place: place.family):
            reason = None if policy is None else await why_refused(policy, place)
            if reason is None:
                return "" if is_literal else str(place.ip)
            error = refused(place, reason)
        assert error is not None
        raise error


def _lost(race: Race, where: str, now: float, *, untried: int) -> ConnectError:
    """Return the error of a race that nobody has won: one for all addresses."""
    tried, errors = race.tried(now), [failure.error for failure in race.failures]
    told = sentence(tried, untried)
    cause = errors[-1] if len(errors) == 1 else ExceptionGroup(f"no address of {where} could be connected to", errors)
    last = errors[-1]
    if isinstance(last, AddressRefused) and all(isinstance(error, AddressRefused) for error in errors):
        last.tried = tried
        return last
    error = ConnectError(f"cannot connect to {where}: {told}")
    error.tried = tried
    error.__cause__ = cause
    return error
