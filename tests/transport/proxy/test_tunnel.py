"""CONNECT over a stream in memory: what is sent, and every odd answer (HAZARDS PX-04)."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

import netio
from netio import Origin, Proxy
from netio.testing import MemoryStream, cancel_everywhere
from netio.testing._clock import all_tasks_at_rest
from netio.transport._proxy_tunnel import tunnel
from netio.wire import MAX_HEAD_BYTES, MAX_INFORMATIONAL

pytestmark = pytest.mark.anyio

PROXY = Proxy("http://proxy.test:3128")
WITH_PASSWORD = Proxy("http://user:s3cret@proxy.test:3128")
HTTPS = Origin("https", "a.test", 443)
HTTP = Origin("http", "a.test", 80)
PLAIN_CONNECT = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Talk:
    """A tunnel that is to be made, and the proxy's end of the stream."""

    def __init__(self, origin: Origin = HTTPS, proxy: Proxy = PROXY) -> None:
        self.stream, self.far = MemoryStream.pair()
        self.origin = origin
        self.proxy = proxy
        self.heard = b""

    async def hear(self) -> None:
        while not self.heard.endswith(b"\r\n\r\n"):
            self.heard += await self.far.receive()

    async def make(self, answer: bytes, *, step: int = 0, then: Callable[[], object] | None = None) -> None:
        """Make the tunnel, with this answer in pieces of `step` bytes; raise what making it raises."""

        async def respond() -> None:
            await self.hear()
            for start in range(0, len(answer), step or len(answer) or 1):
                await self.far.send(answer[start : start + (step or len(answer))])
                if step:
                    await anyio.lowlevel.checkpoint()
            if then is not None:
                then()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(respond)
                try:
                    await tunnel(self.stream, self.origin, self.proxy)
                finally:
                    with anyio.CancelScope(shield=True):
                        await all_tasks_at_rest()
                    group.cancel_scope.cancel()

    async def fail(self, answer: bytes, *, then: Callable[[], object] | None = None) -> netio.ProxyError:
        """Make the tunnel in vain: the proxy hears CONNECT and nothing more, and the stream is left to its owner."""
        failure: BaseException | None = None
        try:
            await self.make(answer, then=then)
        except BaseExceptionGroup as group:
            (failure,) = group.exceptions
        except netio.ProxyError as error:
            failure = error
        assert isinstance(failure, netio.ProxyError)
        assert (failure.phase, failure.sent, failure.proxy) == ("proxy", False, self.proxy.url)
        assert "s3cret" not in str(failure)
        assert self.heard.count(b"\r\n\r\n") == 1
        assert not self.stream.is_closed
        if not self.far.is_closed:
            assert self.far.receive_nowait() is None
        return failure


# ------------------------------------------------------------------ what is sent


@pytest.mark.parametrize(
    ("host", "port", "place"),
    [
        ("a.test", 443, b"a.test:443"),
        ("a.test", 80, b"a.test:80"),
        ("xn--bcher-kva.test", 8443, b"xn--bcher-kva.test:8443"),
        ("2001:db8::1", 443, b"[2001:db8::1]:443"),
        ("10.0.0.1", 443, b"10.0.0.1:443"),
    ],
)
async def test_connect_names_the_origin_and_nothing_else(host: str, port: int, place: bytes) -> None:
    talk = Talk(Origin("https", host, port))
    await talk.make(OK)
    assert talk.heard == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (place, place)


async def test_px_01_what_is_sent_to_the_proxy_is_the_proxys() -> None:
    talk = Talk(proxy=Proxy("http://user:pass@proxy.test", headers={"X-Tier": "gold"}))
    await talk.make(OK)
    fields = b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\nX-Tier: gold\r\n\r\n"
    assert talk.heard == PLAIN_CONNECT[:-2] + fields


@pytest.mark.parametrize(
    "host", ["a.test\r\nX: y", "a.test\n", "a.test\0", "a b", "a.test/", "a@b", "", "a?b", "ü.test", "::1]\r\n["]
)
async def test_req_02_a_host_that_is_none_is_not_sent(host: str) -> None:
    talk = Talk(Origin("https", host, 443))
    with pytest.raises(netio.InvalidRequest):
        await tunnel(talk.stream, talk.origin, talk.proxy)
    assert talk.far.receive_nowait() is None


# ------------------------------------------------------------------ answers that are fine


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("origin", [HTTPS, HTTP], ids=["https", "http"])
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
        b"HTTP/1.1 204 \r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
    ],
)
async def test_any_2xx_makes_a_tunnel(answer: bytes, origin: Origin, step: int) -> None:
    talk = Talk(origin)
    await talk.make(answer, step=step)
    assert not talk.stream.is_closed


@pytest.mark.parametrize(
    "field", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked"]
)
async def test_px_04_a_2xx_has_no_body_whatever_it_says(field: bytes) -> None:
    talk = Talk()
    await talk.make(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n")
    await talk.far.send(b"tunnel")
    assert await talk.stream.receive() == b"tunnel"


@pytest.mark.parametrize("step", [0, 1, 3])
async def test_px_04_in_clear_text_the_origin_may_speak_first(step: int) -> None:
    talk = Talk(HTTP)
    await talk.make(b"HTTP/1.1 200 OK\r\nX: \r\n\r\n" + b"\r\n\r\n first words", step=step)
    heard = b""
    while len(heard) < 16:
        heard += await talk.stream.receive()
    assert heard == b"\r\n\r\n first words"


# ------------------------------------------------------------------ answers that are not


@pytest.mark.parametrize("glued", [b"x", b"\x16\x03\x03", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"])
async def test_px_04_over_tls_nobody_speaks_before_the_client(glued: bytes) -> None:
    error = await Talk().fail(OK + glued)
    assert str(error).endswith("sent something behind its answer to CONNECT, before anybody asked")


async def test_px_04_a_body_that_a_2xx_announces_is_not_taken_for_one() -> None:
    error = await Talk().fail(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert "behind its answer" in str(error)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"403 Forbidden", 403, "403 Forbidden; it may allow other hosts or ports only"),
        (b"405 Method Not Allowed", 405, "405 Method Not Allowed; it may allow other hosts or ports only"),
        (b"502 Bad Gateway", 502, "502 Bad Gateway"),
        (b"503", 503, "503"),
        (b"504 Gateway Timeout", 504, "504 Gateway Timeout"),
        (b"400 \xff\x80", 400, r"400 \xff\x80"),
        (b"500 " + b"x" * 500, 500, "500 " + "x" * 80),
    ],
)
async def test_a_refusal_is_told_in_the_proxys_words(answer: bytes, status: int, words: str) -> None:
    error = await Talk().fail(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 3\r\n\r\nno!")
    assert str(error) == f"the proxy http://proxy.test:3128 did not connect to a.test:443: {words}"
    assert error.status_code == status


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_px_04_a_redirect_of_the_proxy_is_not_followed(status: int) -> None:
    error = await Talk(proxy=WITH_PASSWORD).fail(b"HTTP/1.1 %d Moved\r\nLocation: http://evil.test/\r\n\r\n" % status)
    assert str(error).endswith("a proxy's redirects are not followed")


@pytest.mark.parametrize(
    ("proxy", "challenge", "words"),
    [
        (PROXY, b"Basic realm=x", "give it credentials: netio.Proxy(url, credentials=(user, password))"),
        (PROXY, b"", "give it credentials: netio.Proxy(url, credentials=(user, password))"),
        (WITH_PASSWORD, b"Basic realm=x", "it does not accept these credentials"),
        (WITH_PASSWORD, b"NTLM", "it asks for ntlm, and netio speaks only Basic to proxies"),
        (WITH_PASSWORD, b"Negotiate\r\nProxy-Authenticate: Digest realm=x", "it asks for digest, negotiate, and"),
        (WITH_PASSWORD, b"Digest realm=x\r\nProxy-Authenticate: basic", "it does not accept these credentials"),
    ],
)
async def test_px_04_a_407_is_final_and_says_what_to_do(proxy: Proxy, challenge: bytes, words: str) -> None:
    field = b"Proxy-Authenticate: %b\r\n" % challenge if challenge else b""
    error = await Talk(proxy=proxy).fail(b"HTTP/1.1 407 Proxy Authentication Required\r\n%b\r\n" % field)
    assert error.status_code == 407
    assert words in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"\x05\xff",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\n\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
    ],
)
async def test_px_04_what_is_not_http_is_refused(answer: bytes) -> None:
    error = await Talk().fail(answer)
    assert "the proxy http://proxy.test:3128 answered in a wrong way: " in str(error)
    assert error.status_code is None


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INFORMATIONAL + 1),
    ],
    ids=["bytes", "fields", "interim"],
)
async def test_px_04_a_head_without_end_is_refused(answer: bytes) -> None:
    assert "MAX_" in str(await Talk().fail(answer))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX: y"])
@pytest.mark.parametrize("end", ["fin", "reset"])
async def test_px_04_a_connection_that_ends_is_an_error(answer: bytes, end: str) -> None:
    talk = Talk()
    error = await talk.fail(answer, then=talk.far.close if end == "fin" else talk.far.reset)
    assert ("closed the connection instead of answering" if end == "fin" else "broke: ") in str(error)


async def test_px_04_a_head_that_drips_is_waited_for_only_as_long_as_the_dial_may_take() -> None:
    talk = Talk()

    async def drip() -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200:
            await talk.far.send(bytes([byte]))
            await all_tasks_at_rest()
        limit.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(drip)
        with anyio.CancelScope() as limit:
            await tunnel(talk.stream, talk.origin, talk.proxy)
    assert limit.cancelled_caught
    assert not talk.stream.is_closed


@pytest.mark.parametrize("origin", [HTTPS, HTTP], ids=["https", "http"])
async def test_cancelled_anywhere_it_leaves_the_stream_to_its_owner(origin: Origin) -> None:
    talks: list[Talk] = []

    async def scenario() -> None:
        talks.append(talk := Talk(origin))
        await talk.far.send(OK)
        await tunnel(talk.stream, talk.origin, talk.proxy)

    async def after() -> None:
        assert not talks[-1].stream.is_closed
        talks[-1].stream.close()

    assert await cancel_everywhere(scenario, after) > 2
