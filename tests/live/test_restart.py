"""The server goes away between two requests, and comes back on the same port."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

import netio
from tests.live.servers import Nginx
from tests.live.sites import Site
from tests.live.traces import NOTHING, Traces

pytestmark = [pytest.mark.anyio, pytest.mark.live]

every_farewell = pytest.mark.parametrize("farewell", [signal.SIGQUIT, signal.SIGTERM], ids=["quit", "term"])
"""How nginx is asked to end: with QUIT it says goodbye first (GOAWAY over HTTP/2), with TERM it just goes."""

watched = pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "unwatched"])
"""Whether the client's event loop runs while the server restarts, and could notice."""


async def _restart(server: Nginx, farewell: signal.Signals, *, is_watched: bool) -> None:
    if is_watched:
        await anyio.to_thread.run_sync(server.restart, farewell)
    else:
        server.restart(farewell)


@every_farewell
@watched
async def test_pool_03_get_succeeds_after_the_server_was_restarted(
    own_nginx: Nginx, own_site: Site, farewell: signal.Signals, is_watched: bool
) -> None:
    traces = Traces()
    async with own_site.session() as session:
        for round_ in range(1, 4):
            response = await session.get("/answer")
            assert (response.status_code, response.text) == (200, "answer to GET\n")
            assert session.stats().created == round_
            await _restart(own_nginx, farewell, is_watched=is_watched)
    assert await traces.left() == NOTHING


@pytest.mark.parametrize(
    ("farewell", "is_watched"),
    [(signal.SIGQUIT, True), (signal.SIGQUIT, False), (signal.SIGTERM, True)],
    ids=["quit-watched", "quit-unwatched", "term-watched"],
)
async def test_pool_03_post_after_a_restart_that_could_be_noticed_is_sent_once(
    own_nginx: Nginx, own_site: Site, farewell: signal.Signals, is_watched: bool
) -> None:
    async with own_site.session() as session:
        assert (await session.get("/answer")).status_code == 200
        await _restart(own_nginx, farewell, is_watched=is_watched)
        response = await session.post("/answer", content=b"only once")
        assert (response.status_code, response.text) == (200, "answer to POST\n")
        assert session.stats().created == 2
    own_nginx.stop(signal.SIGQUIT)
    assert own_nginx.requests_served().count("POST /answer 200") == 1


async def _lose_worker(server: Nginx) -> None:
    """Kill the worker of nginx while it has a request that it has not looked at; the master starts another one.

    To be called while the worker is stopped and a request is under way.
    """
    await anyio.wait_all_tasks_blocked()  # the request has been handed to the kernel
    os.kill(server.worker, signal.SIGKILL)


def _stop_worker(server: Nginx) -> None:
    """Let the worker of nginx fall silent, as a machine does whose plug was pulled."""
    worker = server.worker
    os.kill(worker, signal.SIGSTOP)
    while Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


async def test_pool_03_get_on_a_connection_that_dies_unanswered_is_sent_again(own_nginx: Nginx, own_site: Site) -> None:
    traces = Traces()
    async with own_site.session() as session:
        assert (await session.head("/answer")).status_code == 200
        _stop_worker(own_nginx)
        async with anyio.create_task_group() as group:
            group.start_soon(_lose_worker, own_nginx)
            response = await session.get("/answer")
        assert (response.status_code, response.text) == (200, "answer to GET\n")
        assert session.stats().created == 2
    assert await traces.left() == NOTHING
    own_nginx.stop(signal.SIGQUIT)
    assert own_nginx.requests_served().count("GET /answer 200") == 1


async def test_pool_03_post_on_a_connection_that_dies_unanswered_fails_as_maybe_sent(
    own_nginx: Nginx, own_site: Site
) -> None:
    async with own_site.session() as session:
        assert (await session.get("/answer")).status_code == 200
        _stop_worker(own_nginx)
        async with anyio.create_task_group() as group:
            group.start_soon(_lose_worker, own_nginx)
            with pytest.raises(netio.ConnectionLost) as caught:
                await session.post("/answer", content=b"only once")
        error = caught.value
        assert error.request is not None
        assert (error.request.method, error.phase, error.sent, error.unanswered) == ("POST", "head", True, True)
        assert session.stats().created == 1
        assert (await session.get("/answer")).status_code == 200
        assert session.stats().created == 2
    own_nginx.stop(signal.SIGQUIT)
    assert [line for line in own_nginx.requests_served() if line.startswith("POST")] == []


async def test_request_to_a_server_that_is_down_fails_as_not_sent(own_nginx: Nginx, own_site: Site) -> None:
    traces = Traces()
    async with own_site.session() as session:
        assert (await session.get("/answer")).status_code == 200
        await anyio.to_thread.run_sync(own_nginx.stop, signal.SIGQUIT)
        with pytest.raises(netio.ConnectError) as caught:
            await session.post("/answer", content=b"only once")
        assert (caught.value.phase, caught.value.sent) == ("connect", False)
        own_nginx.start()
        assert (await session.post("/answer", content=b"only once")).text == "answer to POST\n"
    assert await traces.left() == NOTHING
