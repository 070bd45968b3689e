"""The contract kit, ends: `lost`, `abort`, `aclose`, and the silence of an idle link."""

from __future__ import annotations

import anyio

from netio.errors import ConnectionLost, ProtocolError
from tests.transport.kit_tools import (
    PLENTY,
    Ends,
    Make,
    cut,
    end_cleanly,
    eventually,
    lowest,
    opened,
    pattern,
    read_exactly,
    read_to_end,
    reset,
    turn,
)

# ------------------------------------------------------------------ lost


async def check_a_clean_end_is_told_once_after_all_bytes(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await ends.peer.send(b"the last words")
        await end_cleanly(ends.peer)
        assert await ends.until_lost() is None
        assert ends.recorder.received == b"the last words"
        await turn()
        assert ends.recorder.losses == [None]


async def check_a_reset_is_told_once_as_an_error(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await reset(ends.peer)
        error = await ends.until_lost()
        assert isinstance(error, ConnectionLost)
        assert error.__cause__ is not None
        await turn()
        assert ends.recorder.losses == [error]


async def check_only_tls_may_not_be_cut(make: Make, *, is_pumped: bool) -> None:
    """FIN without close_notify is an attack on a body that ends with the connection (HAZARDS H1-15)."""
    async with opened(make, is_pumped=is_pumped) as ends:
        await ends.peer.send(b"half of")
        await cut(ends.peer)
        error = await ends.until_lost()
        assert isinstance(error, ConnectionLost) if ends.is_tls else error is None
        assert ends.recorder.received == b"half of"


async def check_what_is_no_tls_breaks_the_connection_after_what_was(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        if not ends.is_tls:
            return  # any bytes are good
        await ends.peer.send(b"good")
        await lowest(ends.peer).send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert isinstance(await ends.until_lost(), ProtocolError)
        assert ends.recorder.received == b"good"


# ------------------------------------------------------------------ abort


async def check_nothing_is_told_after_abort(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await ends.peer.send(b"on its way")
        told = list(ends.recorder.calls)  # a pushed link may have been fed at once
        ends.link.abort()
        ends.link.abort()
        try:
            await ends.peer.send(b"and more")
            await end_cleanly(ends.peer)
        except (anyio.BrokenResourceError, OSError):
            pass
        await turn()
        assert ends.recorder.calls == told


async def check_the_receiver_may_abort_while_it_is_fed(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.recorder.on_feed = ends.link.abort
        await ends.peer.send(b"x")
        await ends.until(lambda: ends.recorder.calls != [])
        try:
            await ends.peer.send(b"more")
        except anyio.BrokenResourceError:
            pass
        await turn()
        assert ends.recorder.calls == [b"x"]


async def check_the_receiver_may_abort_when_it_is_told_of_the_loss(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.recorder.on_lost = ends.link.abort
        await end_cleanly(ends.peer)
        assert await ends.until_lost() is None


async def check_the_peer_notices_abort(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.link.write(pattern(PLENTY))
        ends.link.abort()
        try:
            assert len(await read_to_end(lowest(ends.peer))) < PLENTY
        except anyio.BrokenResourceError:
            return


# ------------------------------------------------------------------ aclose


async def check_aclose_sends_what_is_queued_and_says_goodbye(make: Make, *, is_pumped: bool) -> None:
    data = pattern(PLENTY)
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(data)
        group.start_soon(ends.link.aclose)
        assert await read_exactly(ends.peer, len(data)) == data
        assert await read_to_end(ends.peer) == b""  # under TLS only close_notify reads as the end
        assert ends.link.is_stale() is True


async def check_aclose_says_goodbye_on_an_idle_link(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await ends.link.aclose()
        assert await read_to_end(ends.peer) == b""
        await ends.link.aclose()
        ends.link.abort()


async def check_aclose_takes_no_new_bytes(make: Make, *, is_pumped: bool) -> None:
    data = pattern(PLENTY)
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(data)
        group.start_soon(ends.link.aclose)
        await turn()
        ends.link.write(b"too late")
        assert await read_to_end(ends.peer) == data
        assert ends.recorder.losses in ([], [None])


async def check_aclose_gives_up_on_a_peer_that_does_not_read(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.link.write(pattern(PLENTY))
        await ends.link.aclose()  # or the guard of the check ends it
        assert ends.link.has_unsent is False


async def check_a_cancelled_aclose_has_closed_all_the_same(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.link.write(pattern(PLENTY))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ends.link.aclose()
        assert ends.link.has_unsent is False
        assert ends.link.is_stale() is True
        try:
            await read_to_end(lowest(ends.peer))
        except anyio.BrokenResourceError:
            return


async def check_aclose_of_a_lost_link_is_quiet(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await reset(ends.peer)
        await ends.until_lost()
        ends.link.write(b"GOAWAY")
        await ends.link.aclose()
        assert len(ends.recorder.losses) == 1


# ------------------------------------------------------------------ idle


async def exchange(ends: Ends) -> None:
    """Make the link one that has served."""
    async with anyio.create_task_group() as group:
        ends.link.write(b"question")
        group.start_soon(ends.until_received, b"answer")
        await read_exactly(ends.peer, 8)
        await ends.peer.send(b"answer")


async def check_a_silent_idle_link_is_not_stale(make: Make, *, is_pumped: bool) -> None:
    """Nor is one whose silence is broken only by what TLS 1.3 servers send after the handshake: session tickets."""
    async with opened(make, is_pumped=is_pumped) as ends:
        for _ in range(3):
            await turn()
            assert ends.link.is_stale() is False
        await exchange(ends)
        for _ in range(3):
            await turn()
            assert ends.link.is_stale() is False
        assert ends.recorder.received == b"answer"


async def check_a_link_that_the_peer_has_ended_is_stale(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await exchange(ends)
        await end_cleanly(ends.peer)
        await eventually(ends.link.is_stale)
        assert ends.link.is_stale() is True  # and stays so


async def check_a_link_that_was_cut_is_stale(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await exchange(ends)
        await cut(ends.peer)
        await eventually(ends.link.is_stale)
        assert ends.link.is_stale() is True


async def check_a_link_that_was_reset_is_stale(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        await exchange(ends)
        await reset(ends.peer)
        await eventually(ends.link.is_stale)
        assert ends.link.is_stale() is True


async def check_a_byte_that_nobody_asked_for_shows(make: Make, *, is_pumped: bool) -> None:
    """It is fed, or makes the link stale (HAZARDS H1-13)."""

    def shows() -> bool:
        return ends.link.is_stale() or ends.recorder.received == b"answer?"

    async with opened(make, is_pumped=is_pumped) as ends:
        await exchange(ends)
        assert shows() is False
        await ends.peer.send(b"?")
        await eventually(shows)
        assert shows() is True


async def check_bytes_right_behind_the_answer_show(make: Make, *, is_pumped: bool) -> None:
    """Whoever waits is content with the first of them, wherever the others are kept by then."""
    data = pattern(PLENTY)
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        group.start_soon(ends.peer.send, data)
        await ends.until(lambda: ends.recorder.received != b"")
        await eventually(lambda: ends.link.is_stale() or ends.recorder.received == data)
        group.cancel_scope.cancel()


async def check_a_link_that_was_closed_here_is_stale(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.link.abort()
        assert ends.link.is_stale() is True


CHECKS = (
    check_a_clean_end_is_told_once_after_all_bytes,
    check_a_reset_is_told_once_as_an_error,
    check_only_tls_may_not_be_cut,
    check_what_is_no_tls_breaks_the_connection_after_what_was,
    check_nothing_is_told_after_abort,
    check_the_receiver_may_abort_while_it_is_fed,
    check_the_receiver_may_abort_when_it_is_told_of_the_loss,
    check_the_peer_notices_abort,
    check_aclose_sends_what_is_queued_and_says_goodbye,
    check_aclose_says_goodbye_on_an_idle_link,
    check_aclose_takes_no_new_bytes,
    check_aclose_gives_up_on_a_peer_that_does_not_read,
    check_a_cancelled_aclose_has_closed_all_the_same,
    check_aclose_of_a_lost_link_is_quiet,
    check_a_silent_idle_link_is_not_stale,
    check_a_link_that_the_peer_has_ended_is_stale,
    check_a_link_that_was_cut_is_stale,
    check_a_link_that_was_reset_is_stale,
    check_a_byte_that_nobody_asked_for_shows,
    check_bytes_right_behind_the_answer_show,
    check_a_link_that_was_closed_here_is_stale,
)
