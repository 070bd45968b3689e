"""SOCKS5 over a stream in memory: what is sent, and every odd answer (HAZARDS PX-05)."""

from __future__ import annotations

import anyio
import pytest

import netio
from netio import Origin, Proxy
from netio.testing import MemoryStream, cancel_everywhere
from netio.testing._clock import all_tasks_at_rest
from netio.transport._proxy_tunnel import tunnel

pytestmark = pytest.mark.anyio

PROXY = Proxy("socks5h://proxy.test")
WITH_PASSWORD = Proxy("socks5h://user:s3cret@proxy.test")
NAMED = Origin("https", "a.test", 443)

HELLO = b"\x05\x01\x00"
HELLO_WITH_PASSWORD = b"\x05\x02\x00\x02"
LOGIN = b"\x01\x04user\x06s3cret"
CONNECT = b"\x05\x01\x00\x03\x06a.test\x01\xbb"
NOBODY = b"\x05\x00"
PASSWORD = b"\x05\x02"
ACCEPTED = b"\x01\x00"
DONE = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


async def converse(
    *answers: bytes, origin: Origin = NAMED, proxy: Proxy = PROXY, address: str = "", step: int = 0
) -> tuple[bytes, MemoryStream]:
    """Make a tunnel with a proxy that answers each message with the next of these, and hangs up after the last one."""
    stream, far = MemoryStream.pair()
    heard: list[bytes] = []

    async def respond() -> None:
        for answer in answers:
            heard.append(await far.receive())
            for start in range(0, len(answer), step or len(answer) or 1):
                await far.send(answer[start : start + (step or len(answer))])
        await far.send_eof()
        while True:
            heard.append(await far.receive())

    failure: Exception | None = None
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(respond)
            try:
                await tunnel(stream, origin, proxy, address=address)
            except Exception as error:
                failure = error
            await all_tasks_at_rest()
            group.cancel_scope.cancel()
    assert not stream.is_closed
    if failure is not None:
        failure.add_note(repr(heard))
        raise failure
    return b"|".join(heard), stream


async def refused(*answers: bytes, origin: Origin = NAMED, proxy: Proxy = PROXY, sent: tuple[bytes, ...]) -> str:
    """Make a tunnel in vain, having sent exactly this; return what the error says."""
    with pytest.raises(netio.ProxyError) as caught:
        await converse(*answers, origin=origin, proxy=proxy)
    error = caught.value
    assert (error.phase, error.sent, error.proxy, error.status_code) == ("proxy", False, proxy.url, None)
    assert error.__notes__ == [repr(list(sent))]
    assert "s3cret" not in str(error)
    return str(error)


# ------------------------------------------------------------------ what is sent


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("a.test", b"\x03\x06a.test"),
        ("a.test.", b"\x03\x07a.test."),
        ("xn--bcher-kva.test", b"\x03\x12xn--bcher-kva.test"),
        ("10.0.0.1", b"\x01\x0a\x00\x00\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
    ],
)
async def test_the_proxy_is_told_a_name_or_an_address(host: str, asked: bytes, step: int) -> None:
    heard, _ = await converse(NOBODY, DONE, origin=Origin("https", host, 8443), step=step)
    assert heard == HELLO + b"|\x05\x01\x00" + asked + b"\x20\xfb"


async def test_with_socks5_the_proxy_is_told_the_address_that_was_found_here() -> None:
    heard, _ = await converse(NOBODY, DONE, proxy=Proxy("socks5://proxy.test"), address="10.0.0.1")
    assert heard == HELLO + b"|\x05\x01\x00\x01\x0a\x00\x00\x01\x01\xbb"


async def test_px_01_credentials_are_sent_only_where_the_proxy_asks_for_them() -> None:
    heard, _ = await converse(PASSWORD, ACCEPTED, DONE, proxy=WITH_PASSWORD)
    assert heard == b"|".join((HELLO_WITH_PASSWORD, LOGIN, CONNECT))
    heard, _ = await converse(NOBODY, DONE, proxy=WITH_PASSWORD)
    assert heard == HELLO_WITH_PASSWORD + b"|" + CONNECT


@pytest.mark.parametrize(
    "bound",
    [
        b"\x01\x7f\x00\x00\x01\x1f\x90",
        b"\x04" + bytes(16) + b"\x1f\x90",
        b"\x03\x05bound\x1f\x90",
        b"\x03\x00\x00\x00",
        b"\x03\xff" + b"x" * 255 + b"\x00\x00",
    ],
)
@pytest.mark.parametrize("step", [0, 1])
async def test_what_follows_the_reply_is_left_for_the_tunnel(bound: bytes, step: int) -> None:
    _, stream = await converse(NOBODY, b"\x05\x00\x00" + bound + b"first words", step=step)
    heard = b""
    while len(heard) < 11:
        heard += await stream.receive()
    assert heard == b"first words"


# ------------------------------------------------------------------ what is not sent


@pytest.mark.parametrize(
    "host",
    [
        "a" * 64 + ".test",
        "a..test",
        "a.test\r\nb",
        ".test",
        "",
        "a b",
        "a.test\0",
        "ü.test",
        "a@b",
        "[::1]",
        "a/b",
        ".".join("a" * 128) + "aa",
        ".".join("a" * 500),
    ],
)
async def test_px_05_a_name_that_is_none_or_too_long_is_not_sent(host: str) -> None:
    stream, far = MemoryStream.pair()
    with pytest.raises(netio.InvalidRequest, match="is no host name of at most 255 bytes"):
        await tunnel(stream, Origin("https", host, 443), PROXY)
    assert far.receive_nowait() is None


async def test_px_05_a_name_at_the_limit_is_sent_whole() -> None:
    name = ".".join("a" * 128)
    heard, _ = await converse(NOBODY, DONE, origin=Origin("https", name, 443))
    assert heard == HELLO + b"|\x05\x01\x00\x03\xff" + name.encode() + b"\x01\xbb"


# ------------------------------------------------------------------ answers that are not fine


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "general socks server failure"),
        (2, "connection not allowed by ruleset"),
        (3, "network unreachable"),
        (4, "host unreachable"),
        (5, "connection refused by destination host"),
        (6, "ttl expired"),
        (7, "command not supported or protocol error"),
        (8, "address type not supported"),
        (9, "invalid reply code: 0x9"),
        (255, "invalid reply code: 0xff"),
    ],
)
async def test_px_05_every_reply_is_told_in_words(code: int, words: str) -> None:
    said = await refused(NOBODY, bytes([5, code, 0, 1]) + bytes(6), sent=(HELLO, CONNECT))
    assert said == f"the proxy socks5h://proxy.test:1080 did not connect to a.test:443: {words}"


@pytest.mark.parametrize(
    ("proxy", "answers", "sent", "words"),
    [
        (PROXY, (b"\x05\xff",), (HELLO,), "it wants credentials: netio.Proxy(url, credentials=(user, password))"),
        (PROXY, (PASSWORD,), (HELLO,), "it wants credentials: netio.Proxy(url, credentials=(user, password))"),
        (WITH_PASSWORD, (b"\x05\xff",), (HELLO_WITH_PASSWORD,), "it takes neither a user name with a password nor"),
        (WITH_PASSWORD, (PASSWORD, b"\x01\x01"), (HELLO_WITH_PASSWORD, LOGIN), "it does not accept these credentials"),
        (WITH_PASSWORD, (PASSWORD, b"\x01\xff"), (HELLO_WITH_PASSWORD, LOGIN), "it does not accept these credentials"),
        (WITH_PASSWORD, (PASSWORD, b"\x05\x00"), (HELLO_WITH_PASSWORD, LOGIN), "it does not accept these credentials"),
        (WITH_PASSWORD, (b"\x05\x01",), (HELLO_WITH_PASSWORD,), "unexpected socks authentication method: 1"),
        (PROXY, (b"\x05\x01",), (HELLO,), "unexpected socks authentication method: 1"),
        (PROXY, (b"\x05\x42",), (HELLO,), "invalid authentication method: 0x42"),
        (PROXY, (b"\x04\x00",), (HELLO,), "unexpected socks version number: 4"),
        (PROXY, (b"HTTP/1.1 400 Bad\r\n\r\n",), (HELLO,), "unexpected socks version number: 72"),
        (PROXY, (NOBODY, b"\x04\x00\x00\x01" + bytes(6)), (HELLO, CONNECT), "unexpected socks version number: 0x4"),
        (PROXY, (NOBODY, b"\x05\x00\x01\x01" + bytes(6)), (HELLO, CONNECT), "the reserved byte must be 0x0"),
        (PROXY, (NOBODY, b"\x05\x00\x00\x02" + bytes(6)), (HELLO, CONNECT), "invalid address type: 0x2"),
        (PROXY, (NOBODY, b"\x05\x00\x00\x03\x02\xff\xff\0\0"), (HELLO, CONNECT), "it answered in a wrong way"),
    ],
)
async def test_px_05_an_answer_that_does_not_fit_ends_it(
    proxy: Proxy, answers: tuple[bytes, ...], sent: tuple[bytes, ...], words: str
) -> None:
    said = await refused(*answers, proxy=proxy, sent=sent)
    assert said.startswith(f"the proxy socks5h://proxy.test:1080 did not connect to a.test:443: {words}")


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ((b"",), (HELLO,)),
        ((b"\x05",), (HELLO,)),
        ((NOBODY, b""), (HELLO, CONNECT)),
        ((NOBODY, b"\x05\x00"), (HELLO, CONNECT)),
        ((NOBODY, DONE[:-1]), (HELLO, CONNECT)),
        ((NOBODY, b"\x05\x00\x00\x03"), (HELLO, CONNECT)),
        ((NOBODY, b"\x05\x00\x00\x03\x05bound\x00"), (HELLO, CONNECT)),
        ((NOBODY, b"\x05\x00\x00\x04" + bytes(17)), (HELLO, CONNECT)),
    ],
)
async def test_px_05_a_short_answer_is_an_error(answers: tuple[bytes, ...], sent: tuple[bytes, ...]) -> None:
    said = await refused(*answers, sent=sent)
    assert said == "the proxy socks5h://proxy.test:1080 closed the connection instead of answering"


async def test_a_connection_that_breaks_is_an_error() -> None:
    stream, far = MemoryStream.pair()
    far.reset()
    with pytest.raises(netio.ProxyError, match=r"the connection to the proxy socks5h://proxy\.test:1080 broke: "):
        await tunnel(stream, NAMED, PROXY)


async def test_cancelled_anywhere_it_leaves_the_stream_to_its_owner() -> None:
    streams: list[MemoryStream] = []

    async def scenario() -> None:
        stream, far = MemoryStream.pair()
        streams.append(stream)
        await far.send(PASSWORD + ACCEPTED + DONE)
        await tunnel(stream, NAMED, WITH_PASSWORD)

    async def after() -> None:
        assert not streams[-1].is_closed
        streams[-1].close()

    assert await cancel_everywhere(scenario, after) > 4
