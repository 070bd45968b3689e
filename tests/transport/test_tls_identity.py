"""TLS through a Session: the names that are sent and checked, pins, client certificates, two sessions side by side."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import ByteStream

import netio
from netio import TLS
from netio.testing import MemoryNetwork
from netio.transport._tls_certificate import public_key_pin
from tests.transport.far_ends import HOST, TLSPeer, listen, port_of
from tests.transport.kit_tools import eventually
from tests.transport.tls_certificates import FAULTS, Fault, Issued, authority, issue
from tests.transport.tls_records import Records13, prepare
from tests.transport.tls_server import ANSWER, Site

pytestmark = pytest.mark.anyio

CA = authority()


async def fetch(site: Site, verify: Any, host: str = HOST, *, times: int = 1, place: str | None = None) -> None:
    """Get a page so many times, in one session; `place` is the host that is connected to."""
    failure: netio.RequestError | None = None
    async with MemoryNetwork() as network:
        network.listen(place or host, 443, site)
        async with netio.Session(connect=network.connect, verify=verify) as session:
            shown = f"[{host}]" if ":" in host else host
            try:
                for _ in range(times):
                    response = await session.get(f"https://{shown}/")
                    assert response.content == b"ok"
            except netio.RequestError as error:
                failure = error
    if failure is not None:  # not inside the group of tasks that is the network
        raise failure


async def refused(site: Site, verify: Any, host: str = HOST) -> netio.CertificateError:
    """Expect a refusal, of which the server hears, and before which it is told nothing."""
    with pytest.raises(netio.CertificateError) as caught:
        await fetch(site, verify, host)
    error = caught.value
    assert error.request is not None
    assert (error.phase, error.sent) == ("tls", False)
    assert site.requests == []
    return error


# ------------------------------------------------------------------ certificates of every broken kind


@pytest.mark.parametrize("make", FAULTS)
async def test_tls_03_no_request_is_sent_to_a_server_whose_certificate_does_not_fit(make: Callable[[], Fault]) -> None:
    fault = make()
    site = Site(fault.server)
    error = await refused(site, TLS(ca=fault.trusted.pem), fault.host)
    assert error.reason == fault.reason
    assert len(site.refusals) == 1
    assert "ALERT" in site.refusals[0]


# ------------------------------------------------------------------ names


IDNS = [
    ("b\u00fccher.test", "xn--bcher-kva.test"),
    ("BU\u0308CHER.test", "xn--bcher-kva.test"),
    ("fa\u00df.test", "xn--fa-hia.test"),  # IDNA 2008; by IDNA 2003 it is fass.test, which may be somebody else
    ("\u03b2\u03cc\u03bb\u03bf\u03c2.test", "xn--nxasmm1c.test"),
    ("\u4f8b\u3048.test", "xn--r8jz45g.test"),
]


@pytest.mark.parametrize(("host", "label"), IDNS)
async def test_tls_01_an_international_name_is_sent_and_checked_as_its_a_label(host: str, label: str) -> None:
    site = Site(issue(label, by=CA).server())
    await fetch(site, TLS(ca=CA.pem), host, place=label)
    assert site.names == [label]
    assert b"host: " + label.encode() in site.requests[0].lower()


@pytest.mark.parametrize(
    ("host", "label", "other"),
    [
        ("fa\u00df.test", "xn--fa-hia.test", "fass.test"),
        ("\u03b2\u03cc\u03bb\u03bf\u03c2.test", "xn--nxasmm1c.test", "xn--nxasmq6b.test"),
    ],
)
async def test_tls_01_the_owner_of_the_name_of_idna_2003_is_somebody_else(host: str, label: str, other: str) -> None:
    site = Site(issue(other, by=CA).server())
    async with MemoryNetwork() as network:
        network.listen(label, 443, site)
        network.listen(other, 443, site)
        async with netio.Session(connect=network.connect, verify=TLS(ca=CA.pem)) as session:
            with pytest.raises(netio.CertificateError) as caught:
                await session.get(f"https://{host}/")
    assert (caught.value.reason, caught.value.names, site.names) == ("wrong name", (other,), [label])


@pytest.mark.parametrize("host", [HOST, HOST + ".", HOST.upper()])
async def test_tls_02_the_name_is_sent_and_checked_without_the_dot_of_the_root(host: str) -> None:
    site = Site(issue(HOST, by=CA).server())
    await fetch(site, TLS(ca=CA.pem), host, place=host.lower())
    assert site.names == [HOST]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_tls_02_an_address_is_checked_and_not_sent(address: str) -> None:
    """RFC 6066 section 3: literal addresses are not permitted in SNI."""
    site = Site(issue(address, by=CA).server())
    await fetch(site, TLS(ca=CA.pem), address)
    assert site.names == [None]


async def test_another_name_may_be_sent_and_checked_than_that_of_the_url() -> None:
    site = Site(issue("inside.test", by=CA).server())
    await fetch(site, TLS(ca=CA.pem, server_hostname="Inside.test."))
    assert site.names == ["inside.test"]
    assert b"example.test" in site.requests[0]
    error = await refused(Site(issue(HOST, by=CA).server()), TLS(ca=CA.pem, server_hostname="inside.test"))
    assert (error.reason, error.names) == ("wrong name", (HOST,))


# ------------------------------------------------------------------ pins


def pin_of(issued: Issued) -> str:
    return public_key_pin(issued.der)


OTHER_PIN = "A" * 43 + "="


@pytest.mark.parametrize("closes", [True, False])
async def test_a_key_of_the_chain_may_be_pinned(closes: bool) -> None:
    between = authority(by=CA)
    leaf = issue(HOST, by=between)
    for one in (leaf, between, CA):
        site = Site(leaf.server(between), closes=closes)
        await fetch(site, TLS(ca=CA.pem, pins=[OTHER_PIN, pin_of(one)]), times=3)
        assert site.resumed == ([False, True, True] if closes else [False])


async def test_tls_08_a_good_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    client = issue("client.test", by=CA, purposes=()).write_to(tmp_path / "client.pem")
    leaf = issue(HOST, by=CA)
    context = leaf.server()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=CA.pem.decode())
    site = Site(context)
    error = await refused(site, TLS(ca=CA.pem, certificate=client, pins=[OTHER_PIN]))
    assert error.reason == "pin mismatch"
    assert pin_of(leaf) in str(error)
    assert site.clients == []  # in TLS 1.3 the server has not even learned who wanted to talk


async def test_tls_08_a_pinned_certificate_that_is_only_appended_does_not_count() -> None:
    pinned = issue(HOST, by=CA)
    imposter = issue(HOST, by=CA)
    error = await refused(Site(imposter.server(pinned)), TLS(ca=CA.pem, pins=[pin_of(pinned)]))
    assert error.reason == "pin mismatch"
    error = await refused(Site(imposter.server(pinned)), TLS(verify=False, pins=[pin_of(pinned)]))
    assert error.reason == "pin mismatch"


async def test_tls_08_pins_are_checked_when_a_session_is_resumed() -> None:
    """The server's key is the same as ever; the client's mind is not, and its sessions are not the other's."""
    site = Site(issue(HOST, by=CA).server(), closes=True)
    await fetch(site, TLS(ca=CA.pem), times=2)
    assert site.resumed == [False, True]
    site.requests.clear()
    assert (await refused(site, TLS(ca=CA.pem, pins=[OTHER_PIN]))).reason == "pin mismatch"


async def test_tls_08_a_server_that_changes_its_key_is_refused_though_a_session_was_kept() -> None:
    leaf = issue(HOST, by=CA)
    first, second = Site(leaf.server(), closes=True), Site(issue(HOST, by=CA).server(), closes=True)
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, first)
        async with netio.Session(connect=network.connect, verify=TLS(ca=CA.pem, pins=[pin_of(leaf)])) as session:
            await session.get(f"https://{HOST}/")
            network.listen(HOST, 443, second)
            for _ in range(2):
                with pytest.raises(netio.CertificateError, match="pinned"):
                    await session.get(f"https://{HOST}/")
            network.listen(HOST, 443, first)
            await session.get(f"https://{HOST}/")
    assert (len(first.requests), len(second.requests)) == (2, 0)


async def test_a_key_may_be_pinned_instead_of_an_authority() -> None:
    leaf = issue("whatever.test")
    await fetch(Site(leaf.server()), TLS(verify=False, pins=[pin_of(leaf)]))
    error = await refused(Site(issue("whatever.test").server()), TLS(verify=False, pins=[pin_of(leaf)]))
    assert error.reason == "pin mismatch"


# ------------------------------------------------------------------ client certificates


def asking(*, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = issue(HOST, by=CA).server()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=CA.pem.decode())
    return context


async def test_tls_04_each_session_is_known_by_its_own_certificate(tmp_path: Path) -> None:
    """curl CVE-2026-8932: two identities, one server, one process, at the same time."""
    site, asked = Site(asking(), closes=True), []
    clients = {name: issue(f"{name}.test", by=CA, purposes=()) for name in ("ann", "bob")}
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)

        async def ask(name: str) -> None:
            tls = TLS(ca=CA.pem, certificate=clients[name].write_to(tmp_path / name))
            async with netio.Session(connect=network.connect, verify=tls) as session:
                for _ in range(3):
                    await session.get(f"https://{HOST}/{name}")
                    asked.append(name)

        async with anyio.create_task_group() as group:
            for name in clients:
                group.start_soon(ask, name)
    assert sorted(asked) == ["ann"] * 3 + ["bob"] * 3
    expected = [(client.pem.decode(), f"/{name}".encode()) for name, client in clients.items()]
    assert sorted(site.askers, key=str) == sorted(expected * 3, key=str)
    assert site.resumed.count(True) == 4


async def test_a_server_that_wants_a_certificate_is_told_from_one_that_broke() -> None:
    site = Site(asking())
    with pytest.raises(netio.ConnectionLost) as caught:  # in TLS 1.3 the handshake is over before the server has looked
        await fetch(site, TLS(ca=CA.pem))
    assert "certificate required; it wants a client certificate" in str(caught.value.__cause__)
    site = Site(asking(version=ssl.TLSVersion.TLSv1_2))
    with pytest.raises(netio.TLSError, match="handshake failure") as failed:
        await fetch(site, TLS(ca=CA.pem))
    assert failed.value.sent is False
    assert site.requests == []


# ------------------------------------------------------------------ side by side


async def test_tls_04_a_session_that_checks_nobody_opens_no_door_for_one_that_does() -> None:
    """requests CVE-2024-35195: verify=False stuck to the connection. Here it is the pool's, and so the session's."""
    site = Site(issue("wrong.test", by=CA).server())
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        with pytest.warns(netio.InsecureWarning):
            lax = netio.Session(connect=network.connect, verify=False)
        strict = netio.Session(connect=network.connect, verify=TLS(ca=CA.pem))
        async with lax, strict:
            for _ in range(2):
                await lax.get(f"https://{HOST}/")
                with pytest.raises(netio.CertificateError):
                    await strict.get(f"https://{HOST}/")
        assert lax.stats().created == 1
    assert len(site.requests) == 2


async def test_tls_04_another_name_to_be_checked_is_another_session() -> None:
    """aiohttp in 2026: the override was ignored for connections that were there already."""
    site = Site(issue(HOST, by=CA).server())
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        plain = netio.Session(connect=network.connect, verify=TLS(ca=CA.pem))
        other = netio.Session(connect=network.connect, verify=TLS(ca=CA.pem, server_hostname="other.test"))
        async with plain, other:
            await plain.get(f"https://{HOST}/")
            with pytest.raises(netio.CertificateError) as caught:
                await other.get(f"https://{HOST}/")
    assert caught.value.reason == "wrong name"
    assert site.names == [HOST, "other.test"]


async def test_files_that_cannot_be_read_fail_the_request_and_not_the_session(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    site = Site(issue(HOST, by=CA).server())
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, site)
        async with netio.Session(connect=network.connect, verify=str(file)) as session:
            with pytest.raises(netio.TLSError, match=r"ca\.pem.*no such file"):
                await session.get(f"https://{HOST}/")
            file.write_bytes(CA.pem)
            response = await session.get(f"https://{HOST}/")
    assert response.status_code == 200


# ------------------------------------------------------------------ over real sockets


@asynccontextmanager
async def listening(handler: Callable[[ByteStream], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve connections to a free port of loopback; yield the URL."""

    async def serve(stream: ByteStream) -> None:
        async with stream:
            await handler(stream)

    async with await listen() as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"https://127.0.0.1:{port_of(listener)}/"
        group.cancel_scope.cancel()


async def test_over_sockets_sessions_are_resumed_and_names_checked() -> None:
    site = Site(issue("127.0.0.1", by=CA).server(), closes=True)
    failures: list[netio.CertificateError] = []
    async with listening(site) as url:
        async with netio.Session(verify=TLS(ca=CA.pem)) as session:
            for _ in range(3):
                assert (await session.get(url)).content == b"ok"
            try:
                await session.get(url.replace("127.0.0.1", "localhost"))
            except netio.CertificateError as error:
                failures.append(error)
    assert site.resumed == [False, True, True]
    assert [(error.reason, error.names) for error in failures] == [("wrong name", ("127.0.0.1",))]


async def test_tls_05_over_sockets_a_flood_on_an_idle_connection_closes_it(tmp_path: Path) -> None:
    context, key_log = issue("127.0.0.1", by=CA).server(), tmp_path / "keys.log"
    prepare(context, key_log, ssl.TLSVersion.TLSv1_3)
    ended = 0

    async def serve(stream: ByteStream) -> None:
        nonlocal ended
        peer = TLSPeer(stream, context)
        await peer.handshake()
        await peer.receive()
        records = await anyio.to_thread.run_sync(Records13, key_log, peer.object)
        try:
            await stream.send(records.record(ANSWER))
            while True:
                await stream.send(b"".join(records.key_update(asks=True) for _ in range(100)))
        except anyio.BrokenResourceError:
            ended += 1

    async with listening(serve) as url:
        async with netio.Session(verify=TLS(ca=CA.pem)) as session:
            assert (await session.get(url)).content == b"ok"
            await eventually(lambda: (session.stats().idle, ended) == (0, 1))
