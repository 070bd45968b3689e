"""HAZARDS TLS-05 and TLS-06: servers that stall, drip, flood, break off, or never spoke TLS, and what it may cost."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

import netio
from netio.errors import ConnectionLost, ProtocolError
from netio.testing import FakeClock, MemoryNetwork, MemoryStream
from netio.transport import TLS, Runtime, StreamLink, TLSChannel, tls_context
from netio.transport._tls import MOST_ANSWERS, MOST_WITHOUT_PLAINTEXT
from netio.transport._tls_client import shake_hands as shake_hands_over
from netio.transport._tls_stream import TLSStream
from tests.transport.far_ends import HOST, TLSPeer, client_context, server_context
from tests.transport.tls_certificates import authority, issue
from tests.transport.tls_records import ALERT, HANDSHAKE, HELLO_REQUEST, Records12, Records13, prepare
from tests.transport.tls_server import ANSWER, Server, shake_hands

pytestmark = pytest.mark.anyio

CA = authority()
LEAF = issue(HOST, by=CA)
LEAF_CONTEXT = LEAF.server()
TRUSTING = TLS(ca=CA.pem, sessions=False)


def connected_13(folder: Path) -> tuple[TLSChannel, Records13]:
    context, key_log = LEAF.server(), folder / "keys.log"
    prepare(context, key_log, ssl.TLSVersion.TLSv1_3)
    channel, server = TLSChannel(tls_context(TRUSTING, ()), HOST), Server(context)
    assert channel.decrypt(shake_hands(channel, server)) == b""
    return channel, Records13(key_log, server.object)


def connected_12(folder: Path) -> tuple[TLSChannel, Records12]:
    context, key_log = LEAF.server(), folder / "keys.log"
    prepare(context, key_log, ssl.TLSVersion.TLSv1_2)
    channel, server = TLSChannel(tls_context(TRUSTING, ()), HOST), Server(context)
    channel.handshake()
    hello = channel.take()
    answer = server.handshake(hello)
    channel.handshake(answer)
    assert channel.handshake(server.handshake(channel.take())) is True
    return channel, Records12(key_log, hello[11:43], answer[11:43])  # the randoms, behind two headers and a version


async def read_keys(key_log: Path, server: ssl.SSLObject) -> Records13:
    return await anyio.to_thread.run_sync(Records13, key_log, server)


# ------------------------------------------------------------------ floods


@pytest.mark.parametrize("asks", [False, True])
def test_tls_05_a_key_update_now_and_then_is_taken(tmp_path: Path, asks: bool) -> None:
    channel, server = connected_13(tmp_path)
    for _ in range(20):
        assert channel.decrypt(server.key_update(asks=asks) + server.record(b"hello")) == b"hello"
    assert channel.encrypt(b"x") != b""
    assert channel.failure is None


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("batch", [1, 100])
def test_tls_05_key_updates_without_end_are_a_broken_protocol(tmp_path: Path, asks: bool, batch: int) -> None:
    channel, server = connected_13(tmp_path)
    came = 0
    while channel.failure is None:
        received = b"".join(server.key_update(asks=asks) for _ in range(batch))
        came += len(received)
        assert channel.decrypt(received) == b""
        channel.answer()
        assert came <= MOST_WITHOUT_PLAINTEXT + len(received)
    assert isinstance(channel.failure, ProtocolError)
    assert "without content" in str(channel.failure)
    assert channel.decrypt(server.record(b"too late")) == b""


def test_tls_05_key_updates_between_data_may_not_make_us_answer_without_end(tmp_path: Path) -> None:
    """Each answer is kept until the peer reads it, which it need not."""
    channel, server = connected_13(tmp_path)
    answered = 0
    while channel.failure is None:
        channel.decrypt(server.record(b"x") + b"".join(server.key_update(asks=True) for _ in range(50)))
        answered += len(channel.answer())
        assert answered < 2 * MOST_ANSWERS
    assert isinstance(channel.failure, ProtocolError)


def test_tls_05_empty_records_without_end_are_a_broken_protocol(tmp_path: Path) -> None:
    channel, server = connected_13(tmp_path)
    for _ in range(1_000):
        channel.decrypt(server.record(b""))
    assert isinstance(channel.failure, ProtocolError)


def test_tls_05_renegotiation_is_refused_each_time_and_not_without_end(tmp_path: Path) -> None:
    channel, server = connected_12(tmp_path)
    assert channel.decrypt(server.record(HELLO_REQUEST, HANDSHAKE) + server.record(b"hello")) == b"hello"
    refusal = channel.answer()
    assert (refusal[0], len(refusal)) == (ALERT, 31)
    for _ in range(3_000):
        channel.decrypt(server.record(HELLO_REQUEST, HANDSHAKE))
        channel.answer()
    assert isinstance(channel.failure, ProtocolError)


def test_tls_05_warnings_without_end_are_a_lost_connection(tmp_path: Path) -> None:
    channel, server = connected_12(tmp_path)
    for _ in range(100):
        channel.decrypt(server.record(b"\x01\x5a", ALERT))  # user_canceled
    assert isinstance(channel.failure, ConnectionLost | ProtocolError)


@pytest.mark.parametrize("size", [1, 7])
def test_tls_05_a_record_in_drips_is_no_flood(tmp_path: Path, size: int) -> None:
    channel, server = connected_13(tmp_path)
    for _ in range(6):
        record, content = server.record(b"x" * 16_384), b""
        for start in range(0, len(record), size):
            content += channel.decrypt(record[start : start + size])
        assert content == b"x" * 16_384
    assert channel.failure is None


async def test_tls_05_a_stream_keeps_no_heap_of_answers(tmp_path: Path) -> None:
    ours, theirs = MemoryStream.pair()
    context, key_log = LEAF.server(), tmp_path / "keys.log"
    prepare(context, key_log, ssl.TLSVersion.TLSv1_3)
    channel, server = TLSChannel(tls_context(TRUSTING, ()), HOST), Server(context)
    shake_hands(channel, server)
    records, stream = await read_keys(key_log, server.object), TLSStream(ours, channel)
    with pytest.raises(anyio.BrokenResourceError, match="answer without end"):
        while True:
            await theirs.send(records.record(b"x") + b"".join(records.key_update(asks=True) for _ in range(200)))
            assert await stream.receive() == b"x"
    await stream.aclose()


# ------------------------------------------------------------------ through a session

Behave = Callable[[TLSPeer, Records13], Awaitable[None]]


async def flood(peer: TLSPeer, records: Records13) -> None:
    """Answer with nothing but key updates."""
    while True:
        await peer.transport_stream.send(b"".join(records.key_update(asks=True) for _ in range(100)))


async def break_off(peer: TLSPeer, records: Records13) -> None:
    half = records.record(ANSWER[:-1])
    await peer.transport_stream.send(half + records.record(b"\x02\x50", ALERT))  # internal_error


async def truncate(peer: TLSPeer, records: Records13) -> None:
    await peer.transport_stream.send(records.record(ANSWER)[:-1])


async def say_nothing_and_end(peer: TLSPeer, records: Records13) -> None:
    await peer.transport_stream.send(records.record(b"\x01\x00", ALERT))  # close_notify


async def speak_plain_text(peer: TLSPeer, records: Records13) -> None:
    await peer.transport_stream.send(ANSWER)


FAILURES: list[tuple[Behave, type[netio.RequestError], str]] = [
    (flood, netio.ConnectionLost, "without content"),
    (break_off, netio.IncompleteBody, "internal error"),
    (truncate, netio.ConnectionLost, "without close_notify"),
    (say_nothing_and_end, netio.ConnectionLost, "without a byte of a response"),
    (speak_plain_text, netio.ConnectionLost, "broke the TLS protocol"),
]


@pytest.mark.parametrize(("behave", "kind", "words"), FAILURES)
async def test_tls_05_a_server_that_misbehaves_ends_the_request_in_words(
    behave: Behave, kind: type[netio.RequestError], words: str, tmp_path: Path
) -> None:
    context, key_log = LEAF.server(), tmp_path / "keys.log"
    prepare(context, key_log, ssl.TLSVersion.TLSv1_3)

    async def serve(stream: MemoryStream) -> None:
        peer = TLSPeer(stream, context)
        await peer.handshake()
        await peer.receive()
        await behave(peer, await read_keys(key_log, peer.object))

    failure: netio.RequestError | None = None
    with anyio.fail_after(10):
        async with MemoryNetwork() as network:
            network.listen(HOST, 443, serve)
            async with netio.Session(connect=network.connect, verify=TRUSTING) as session:
                try:
                    await session.get(f"https://{HOST}/")
                except netio.RequestError as error:
                    failure = error
                assert (session.stats().active, session.stats().idle) == (0, 0)
    assert isinstance(failure, kind)
    assert failure.request is not None
    story = f"{failure} {failure.__cause__}"
    assert words in story


async def test_tls_05_a_flood_on_an_idle_connection_ends_it_and_nothing_else(tmp_path: Path) -> None:
    context, key_log = LEAF.server(), tmp_path / "keys.log"
    prepare(context, key_log, ssl.TLSVersion.TLSv1_3)
    floods = 0

    async def serve(stream: MemoryStream) -> None:
        nonlocal floods
        peer = TLSPeer(stream, context)
        await peer.handshake()
        await peer.receive()
        records = await read_keys(key_log, peer.object)
        await stream.send(records.record(ANSWER))
        floods += 1
        await flood(peer, records)

    with anyio.fail_after(10):
        async with MemoryNetwork() as network:
            network.listen(HOST, 443, serve)
            async with netio.Session(connect=network.connect, verify=TRUSTING) as session:
                for number in range(1, 3):
                    response = await session.get(f"https://{HOST}/")
                    assert (response.content, floods) == (b"ok", number)
                    await anyio.wait_all_tasks_blocked()


async def stall_at_once(stream: MemoryStream) -> None:
    await anyio.sleep_forever()


async def stall_in_the_middle(stream: MemoryStream) -> None:
    server = Server(LEAF_CONTEXT)
    answer = server.handshake(await stream.receive())
    await stream.send(answer[: len(answer) // 2])
    await anyio.sleep_forever()


async def drip(stream: MemoryStream) -> None:
    """One byte in the time that one read may take: each is news, and all of them are none."""
    await stream.receive()
    await stream.send(b"\x16\x03\x03\x40\x00\x02")
    await anyio.sleep_forever()


@pytest.mark.parametrize("stall", [stall_at_once, stall_in_the_middle, drip])
async def test_tls_05_a_handshake_that_stalls_ends_by_the_limit_for_connecting(
    stall: Callable[[MemoryStream], Awaitable[None]],
) -> None:
    clock, failures = FakeClock(), []
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, stall)
        timeout = netio.Timeouts(connect=7)
        async with netio.Session(
            connect=network.connect, verify=client_context(), clock=clock, timeout=timeout
        ) as session:

            async def get() -> None:
                try:
                    await session.get(f"https://{HOST}/")
                except netio.ConnectTimeout as error:
                    failures.append(error)

            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    group.start_soon(get)
                    await anyio.wait_all_tasks_blocked()
                    await clock.advance(6.8)
                    assert failures == []
                    await clock.advance(0.4)
        assert network.open_connections == 0
    assert [(error.phase, error.sent) for error in failures] == [("tls", False)]


async def test_tls_05_what_the_server_says_after_our_close_notify_does_not_keep_the_connection_open(
    runtime: Runtime,
) -> None:
    """Half-close: TLS 1.3 lets the other direction go on, HTTP has no use for it."""
    ours, theirs = MemoryStream.pair()
    peer, channel = TLSPeer(theirs), TLSChannel(client_context(), HOST)
    async with anyio.create_task_group() as group:
        group.start_soon(peer.handshake)
        await shake_hands_over(ours, channel)
    link = StreamLink(ours, runtime, channel)
    await peer.send(b"unasked" * 1_000)
    with anyio.fail_after(5):
        await link.aclose()
    await runtime.finish()
    assert ours.is_closed is True
    with pytest.raises(anyio.EndOfStream):
        await peer.receive()


PLAIN_TEXT = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"220 mail.example ESMTP\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"\0" * 10,
]


@pytest.mark.parametrize("greeting", PLAIN_TEXT)
@pytest.mark.parametrize("is_unasked", [True, False])
async def test_tls_06_a_server_that_does_not_speak_tls_is_called_so(greeting: bytes, is_unasked: bool) -> None:
    async def serve(stream: MemoryStream) -> None:
        if not is_unasked:
            await stream.receive()
        await stream.send(greeting)
        await anyio.sleep_forever()

    failure: netio.TLSError | None = None
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, serve)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            try:
                await session.get(f"https://{HOST}/")
            except netio.TLSError as error:
                failure = error
        assert network.open_connections == 0
    assert failure is not None
    assert "does not speak TLS on this port" in str(failure)
    assert (failure.phase, failure.sent) == ("tls", False)


async def test_tls_06_nothing_that_came_in_clear_text_counts_as_an_answer() -> None:
    """Bytes before the handshake are not kept for after it (STARTTLS injection, CVE-2011-0411 and its kin)."""

    async def serve(stream: MemoryStream) -> None:
        peer = TLSPeer(stream, server_context())
        await stream.send(ANSWER)
        try:
            await peer.handshake()
        except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
            return

    failure: netio.RequestError | None = None
    async with MemoryNetwork() as network:
        network.listen(HOST, 443, serve)
        async with netio.Session(connect=network.connect, verify=client_context()) as session:
            try:
                await session.get(f"https://{HOST}/")
            except netio.RequestError as error:
                failure = error
    assert isinstance(failure, netio.TLSError)
    assert failure.sent is False
