"""The contract kit, bytes: they arrive and leave whole and in order, whatever is in the way."""

from __future__ import annotations

import anyio

from tests.transport.kit_tools import PLENTY, Make, eventually, opened, pattern, read_exactly, read_to_end, turn

CUTS = (1, 1, 2, 3, 5, 8, 13, 1_000, 1, 16_384, 16_385, 7, 40_000)


def cut_up(data: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    start = 0
    while start < len(data):
        size = CUTS[len(pieces) % len(CUTS)]
        pieces.append(data[start : start + size])
        start += size
    return pieces


async def check_bytes_arrive_whole_and_in_order_however_they_are_cut(make: Make, *, is_pumped: bool) -> None:
    data = pattern(200_000)

    async def send() -> None:
        for piece in cut_up(data):
            await ends.peer.send(piece)

    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        group.start_soon(send)
        await ends.until_received(data)


async def check_bytes_leave_whole_and_in_order_however_they_are_cut(make: Make, *, is_pumped: bool) -> None:
    data = pattern(200_000)
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        for piece in cut_up(data):
            ends.link.write(piece)
        group.start_soon(ends.until_received, b"enough")
        assert await read_exactly(ends.peer, len(data)) == data
        await ends.peer.send(b"enough")


async def check_exchange_after_exchange(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        for number in range(10):
            ends.link.write(b"question %d" % number)
            async with anyio.create_task_group() as group:
                group.start_soon(ends.until_received, b"".join(b"answer %d" % past for past in range(number + 1)))
                assert await ends.peer.receive() == b"question %d" % number
                await ends.peer.send(b"answer %d" % number)
            assert ends.link.has_unsent is False


async def check_both_directions_move_though_neither_end_reads_first(make: Make, *, is_pumped: bool) -> None:
    """The peer reads only once all of its own is gone: a link that first sends and then receives stands still."""
    data = pattern(PLENTY)

    async def talk() -> None:
        await ends.peer.send(data)
        assert await read_exactly(ends.peer, len(data)) == data
        await ends.peer.send(b"!")

    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(data)
        group.start_soon(talk)
        await ends.until_received(data + b"!")


async def check_what_was_written_before_start_leaves_after_it(make: Make, *, is_pumped: bool) -> None:
    async def make_and_write() -> tuple:
        link, peer = await make()
        link.write(b"preface")
        link.write(b", settings")
        return link, peer

    async with opened(make_and_write, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        group.start_soon(ends.until_received, b"ok")
        assert await read_exactly(ends.peer, 17) == b"preface, settings"
        await ends.peer.send(b"ok")


async def check_what_the_peer_sent_before_start_is_delivered(make: Make, *, is_pumped: bool) -> None:
    async def make_and_send() -> tuple:
        link, peer = await make()
        await peer.send(b"220 ready")
        await turn()
        return link, peer

    async with opened(make_and_send, is_pumped=is_pumped) as ends:
        await ends.until_received(b"220 ready")


async def check_what_is_written_while_another_task_waits_leaves(make: Make, *, is_pumped: bool) -> None:
    """As the end of an upload does, which is much less than the high-water mark."""
    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        group.start_soon(ends.until_received, b"thanks")
        await turn()
        ends.link.write(b"the last ")
        await ends.link.drain(ends.link.waiter())
        ends.link.write(b"bytes")
        await ends.link.drain(ends.link.waiter())
        assert await read_exactly(ends.peer, 14) == b"the last bytes"
        await turn()
        ends.link.write(b"and one more")
        assert await read_exactly(ends.peer, 12) == b"and one more"
        await ends.peer.send(b"thanks")


async def check_what_is_written_by_the_receiver_leaves(make: Make, *, is_pumped: bool) -> None:
    """As the answer to a PING does."""

    def answer() -> None:
        if ends.recorder.received == b"ping":
            ends.link.write(b"pong")

    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.recorder.on_feed = answer
        group.start_soon(ends.until_received, b"ping, thanks")
        await ends.peer.send(b"ping")
        assert await read_exactly(ends.peer, 4) == b"pong"
        await ends.peer.send(b", thanks")


async def check_what_is_written_after_abort_is_dropped(make: Make, *, is_pumped: bool) -> None:
    async with opened(make, is_pumped=is_pumped) as ends:
        ends.link.abort()
        ends.link.write(b"too late")
        await ends.link.drain(ends.link.waiter())
        assert ends.link.has_unsent is False
        try:
            assert await read_to_end(ends.peer) == b""
        except anyio.BrokenResourceError:
            return  # reset instead of ended: as good


async def check_an_answer_is_delivered_though_nobody_reads_the_request(make: Make, *, is_pumped: bool) -> None:
    """413, say: the peer answers, keeps the connection open, and does not read on (RFC 9112 section 9.3)."""

    async def upload() -> None:
        for _ in range(PLENTY // 65_536):
            ends.link.write(pattern(65_536))
            await ends.link.drain(ends.link.waiter())

    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        ends.link.write(b"POST")
        group.start_soon(upload)
        group.start_soon(ends.until_received, b"too large")
        await turn()
        await ends.peer.send(b"too large")
        await eventually(lambda: ends.recorder.received == b"too large")
        ends.link.abort()


async def check_an_answer_is_delivered_though_the_rest_of_the_request_fails(make: Make, *, is_pumped: bool) -> None:
    """The same from a peer that then closes at once: writing fails while the answer is still to be read."""

    async def upload() -> None:
        for _ in range(PLENTY // 65_536):
            ends.link.write(pattern(65_536))
            await ends.link.drain(ends.link.waiter())

    async def answer_and_close() -> None:
        await turn()
        await ends.peer.send(b"too large")
        await anyio.aclose_forcefully(ends.peer)

    async with opened(make, is_pumped=is_pumped) as ends, anyio.create_task_group() as group:
        group.start_soon(upload)
        group.start_soon(answer_and_close)
        await ends.until_received(b"too large")
        await ends.until_lost()


CHECKS = (
    check_bytes_arrive_whole_and_in_order_however_they_are_cut,
    check_bytes_leave_whole_and_in_order_however_they_are_cut,
    check_exchange_after_exchange,
    check_both_directions_move_though_neither_end_reads_first,
    check_what_was_written_before_start_leaves_after_it,
    check_what_the_peer_sent_before_start_is_delivered,
    check_what_is_written_while_another_task_waits_leaves,
    check_what_is_written_by_the_receiver_leaves,
    check_what_is_written_after_abort_is_dropped,
    check_an_answer_is_delivered_though_nobody_reads_the_request,
    check_an_answer_is_delivered_though_the_rest_of_the_request_fails,
)
