"""c-ares and dnsmasq: a real name server, and a real cache in between that counts times to live down."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from netio.deadline import SystemClock
from netio.errors import ResolveError
from netio.transport import Answer, CaresResolver, Names, ServiceBinding, current_runtime
from tests.live.conftest import required
from tests.live.servers import HOST, Server, free_ports
from tests.transport.dns.server import NameServer, Script

pytestmark = [pytest.mark.anyio, pytest.mark.live]

TTL = 1


class Dnsmasq(Server):
    """dnsmasq with the options given, and a hosts file that it reads anew at SIGHUP."""

    def __init__(self, folder: Path, *options: str) -> None:
        (port,) = free_ports(1)
        self.hosts = folder / "hosts"
        self.hosts.touch()
        command = [
            required("dnsmasq"),
            *("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user="),
            *(f"--port={port}", f"--listen-address={HOST}", "--bind-interfaces", "--pid-file="),
            *(f"--addn-hosts={self.hosts}", f"--local-ttl={TTL}"),
            *options,
        ]
        super().__init__(command, [port], folder / "log")

    @property
    def place(self) -> str:
        return f"{HOST}:{self.ports[0]}"

    def set_addresses(self, **names: str) -> None:
        self.hosts.write_text("".join(f"{address} {name}.live.test\n" for name, address in names.items()))
        self._send(signal.SIGHUP)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


MakeDnsmasq = Callable[..., Dnsmasq]


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[MakeDnsmasq]:
    running: list[Dnsmasq] = []

    def start(*options: str) -> Dnsmasq:
        server = Dnsmasq(tmp_path, *options)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
async def authority(dnsmasq: MakeDnsmasq) -> Dnsmasq:
    https = "000100" + "00010003026832" + "0003000220fb"
    many = [f"--host-record=many.live.test,10.0.{number // 250}.{number % 250 + 1}" for number in range(400)]
    return dnsmasq(
        "--local=/live.test/",
        "--host-record=both.live.test,192.0.2.1,2001:db8::1",
        "--host-record=four.live.test,192.0.2.2",
        "--cname=alias.live.test,four.live.test",
        f"--dns-rr=both.live.test,65,{https}",
        *many,
    )


@pytest.fixture
async def resolver(authority: Dnsmasq) -> AsyncIterator[CaresResolver]:
    resolver = CaresResolver(servers=[authority.place], timeout=2.0)
    yield resolver
    await resolver.aclose()


async def test_a_real_name_server_gives_addresses_bindings_and_a_ttl(resolver: CaresResolver) -> None:
    answer = await resolver.resolve("both.live.test")
    assert answer.addresses == ("2001:db8::1", "192.0.2.1")
    assert answer.bindings == (ServiceBinding(priority=1, target="both.live.test", alpn=("h2",), port=8443),)
    assert answer.ttl is not None
    assert 0 <= answer.ttl <= TTL


async def test_a_real_name_server_and_aliases(resolver: CaresResolver) -> None:
    assert (await resolver.resolve("alias.live.test")).addresses == ("192.0.2.2",)


async def test_dns_03_a_real_name_server_and_names_that_are_missing(resolver: CaresResolver) -> None:
    for name in ("nobody.live.test", "many.four.live.test"):
        with pytest.raises(ResolveError) as caught:
            await resolver.resolve(name)
        assert caught.value.kind == "missing"


async def test_dns_03_a_real_name_server_and_more_addresses_than_fit_into_a_packet(resolver: CaresResolver) -> None:
    assert len(set((await resolver.resolve("many.live.test")).addresses)) == 400


async def test_that_a_name_moved_is_noticed_within_its_ttl_and_a_second(
    authority: Dnsmasq, resolver: CaresResolver, note: Callable[[str], None]
) -> None:
    authority.set_addresses(moving="192.0.2.1")
    runtime, told, is_told = current_runtime(), list[frozenset[str]](), anyio.Event()

    def on_change(host: str, addresses: frozenset[str]) -> None:
        told.append(addresses)
        is_told.set()

    names = Names(resolver, runtime=runtime, clock=SystemClock(), on_change=on_change)
    with anyio.fail_after(10):
        answer = await _until_known(names, "moving.live.test")
        assert answer.addresses == ("192.0.2.1",)
        names.use("moving.live.test")
        begin = time.monotonic()
        authority.set_addresses(moving="192.0.2.2")
        await is_told.wait()
    note(f"a name of TTL {TTL} s moved; noticed after {time.monotonic() - begin:.2f} s")
    assert told == [frozenset({"192.0.2.2"})]
    await names.aclose()
    await runtime.aclose()


async def _until_known(names: Names, host: str) -> Answer:
    while True:
        try:
            return await names.look_up(host)
        except ResolveError:
            await anyio.sleep(0.05)


@contextmanager
def counting_authority() -> Iterator[NameServer]:
    script = Script(a=["192.0.2.1"], aaaa=["2001:db8::1"], https=["1 . alpn=h2"], ttl=2)
    with NameServer({"*": script}).running() as server:
        yield server


async def test_dns_02_through_a_cache_that_counts_down_a_name_in_use_costs_one_query_a_ttl(
    dnsmasq: MakeDnsmasq, note: Callable[[str], None]
) -> None:
    """Asking before the end would cost two: the old answer is given once more, with what is left of its time."""
    with counting_authority() as authority:
        between = dnsmasq(f"--server={HOST}#{authority.port}")
        resolver, runtime = CaresResolver(servers=[between.place], timeout=2.0), current_runtime()
        names = Names(resolver, runtime=runtime, clock=SystemClock())
        hosts = [f"{number}.live.test" for number in range(20)]
        for host in hosts:
            await names.look_up(host)
            names.use(host)
        before = names.stats.queries
        await anyio.sleep(8.5)
        questions = (names.stats.queries - before) / len(hosts) / 4.25
        queries = max(count - 1 for count in authority.asked.values()) / 4.25
        await names.aclose()
        await resolver.aclose()
        await runtime.aclose()
    note(f"behind dnsmasq, for each name and TTL: {questions:.2f} questions, at most {queries:.2f} queries")
    assert names.stats.misses == len(hosts)
    assert questions <= 1.1
    assert queries <= 1.1
