"""What HTTPS records (RFC 9460) change about where a connection goes, and what they do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

from netio.errors import ConnectError, ResolveError
from netio.transport import Address, Answer, Dial, Dialer, Network, Runtime, ServiceBinding
from netio.transport._dial_places import MAX_BINDINGS, fitting, places_of
from netio.url import Origin
from tests.transport.far_ends import OTHER_HOST as NAME
from tests.transport.far_ends import TLSPeer, client_context, listen, port_of, server_context
from tests.transport.kit_tools import read_to_end

ORIGIN = Origin("https", NAME, 443)
BOTH = ("h2", "http/1.1")


def binding(target: str = NAME, **more: object) -> ServiceBinding:
    return ServiceBinding(priority=1, target=target, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "offered"),
    [
        (binding(alpn=("h2", "h3")), BOTH),  # "http/1.1" is what every server has unless it says otherwise
        (binding(alpn=("h2", "h3"), no_default_alpn=True), ("h2",)),
        (binding(), ("http/1.1",)),
        (binding(alpn=("http/1.1",), no_default_alpn=True), ("http/1.1",)),
    ],
)
def test_what_a_record_has_of_our_protocols_is_offered(record: ServiceBinding, offered: tuple[str, ...]) -> None:
    (protocols,) = places_of(ORIGIN, Answer(("192.0.2.1",)), BOTH, binding=record).values()
    assert protocols == offered


def test_a_record_without_a_protocol_of_ours_is_left_out() -> None:
    other = binding(alpn=("h3",), no_default_alpn=True)
    good = binding(alpn=("h2",))
    assert fitting([other, good], ORIGIN, BOTH) == [good]
    assert fitting([good], ORIGIN, ("http/1.1",)) == [good]
    assert len(fitting([good] * 9, ORIGIN, BOTH)) == MAX_BINDINGS


@pytest.mark.parametrize("origin", [Origin("https", NAME, 8443), Origin("http", NAME, 80), Origin("http", NAME, 443)])
def test_records_are_about_https_at_its_own_port_only(origin: Origin) -> None:
    assert fitting([binding(alpn=("h2",))], origin, BOTH) == []


class Records:
    """A resolver with HTTPS records."""

    def __init__(self, *bindings: ServiceBinding, **addresses: str) -> None:
        self.bindings = bindings
        self.addresses = {name.replace("_", "."): (address,) for name, address in addresses.items()}

    async def resolve(self, host: str) -> Answer:
        await anyio.lowlevel.checkpoint()
        if host not in self.addresses:
            raise ResolveError(f"cannot resolve {host}", kind="missing")
        return Answer(self.addresses[host], 60.0, self.bindings if host == NAME else ())

    async def aclose(self) -> None:
        return


@asynccontextmanager
async def tls_server(host: str, *protocols: str) -> AsyncIterator[int]:
    async def serve(stream: ByteStream) -> None:
        async with stream:
            try:
                await TLSPeer(stream, server_context(*protocols)).handshake()
                await read_to_end(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async with await listen(host) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield port_of(listener)
        group.cancel_scope.cancel()


def dialer(runtime: Runtime, records: Records, alpn: tuple[str, ...] = BOTH) -> Dialer:
    return Dialer(runtime, verify=client_context(), alpn=alpn, network=Network(resolver=records))


@pytest.mark.anyio
async def test_the_port_and_the_protocols_of_a_record_are_used(runtime: Runtime) -> None:
    async with tls_server("127.0.0.1", *BOTH) as port:
        records = Records(binding(port=port, alpn=("http/1.1",)), two_test="127.0.0.1")
        dial = Dial(ORIGIN)
        link = await dialer(runtime, records).dial(dial)
        assert dial.address == Address(NAME, ip_address("127.0.0.1"), port)
        assert link.alpn == "http/1.1"  # the server would have taken HTTP/2 first
        link.abort()


@pytest.mark.anyio
async def test_a_record_may_name_another_host_and_the_certificate_stays_that_of_the_origin(runtime: Runtime) -> None:
    async with tls_server("127.0.0.2", *BOTH) as port:
        other = binding("edge.test", port=port, alpn=("h2",))
        records = Records(other, two_test="127.0.0.1", edge_test="127.0.0.2")
        dial = Dial(ORIGIN)
        link = await dialer(runtime, records).dial(dial)  # the certificate is for two.test
        assert dial.address == Address("edge.test", ip_address("127.0.0.2"), port)
        assert link.alpn == "h2"
        link.abort()


@pytest.mark.anyio
async def test_dns_03_what_records_say_is_tried_first_and_the_addresses_of_the_name_after(runtime: Runtime) -> None:
    async with await listen("127.0.0.1") as listener:
        port = port_of(listener)
    bad = [binding(port=port, alpn=("h2",)), binding("gone.test", port=port, alpn=("h2",))]
    with pytest.raises(ConnectError) as caught:
        await dialer(runtime, Records(*bad, two_test="127.0.0.9")).dial(Dial(ORIGIN))
    assert [each.address for each in caught.value.tried] == [f"127.0.0.9:{port}", "127.0.0.9:443"]
