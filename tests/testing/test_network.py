"""The network in memory behaves like sockets in all that netio relies on, and is stricter where that finds bugs."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from netio.testing import MemoryNetwork, MemoryStream

pytestmark = pytest.mark.anyio


async def turn() -> None:
    for _ in range(5):
        await checkpoint()


async def echo(stream: MemoryStream) -> None:
    while True:
        await stream.send(await stream.receive())


@pytest.fixture
def ends() -> tuple[MemoryStream, MemoryStream]:
    return MemoryStream.pair(capacity=10)


Ends = tuple[MemoryStream, MemoryStream]


async def test_what_is_sent_arrives_in_order_and_in_pieces_of_the_wished_size(ends: Ends) -> None:
    ours, theirs = ends
    await ours.send(b"abc")
    await ours.send(b"defg")
    assert [await theirs.receive(2) for _ in range(4)] == [b"ab", b"c", b"de", b"fg"]


async def test_send_waits_until_the_receiver_makes_room(ends: Ends) -> None:
    ours, theirs = ends
    has_sent = False

    async def send() -> None:
        nonlocal has_sent
        await ours.send(b"0123456789abcde")
        has_sent = True

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await turn()
            assert has_sent is False
            assert await theirs.receive(4) == b"0123"
            await turn()
            assert has_sent is False
            assert await theirs.receive() == b"456789"
            await turn()
            assert has_sent is True
    assert await theirs.receive() == b"abcd"
    assert await theirs.receive() == b"e"


async def test_a_sender_that_finds_no_room_sends_nothing_yet(ends: Ends) -> None:
    ours, theirs = ends
    await ours.send(b"0123456789")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ours.send, b"abc")
            await turn()
            assert await theirs.receive() == b"0123456789"
            assert await theirs.receive() == b"abc"


async def test_receive_waits_for_the_first_byte(ends: Ends) -> None:
    ours, theirs = ends
    received: list[bytes] = []

    async def receive() -> None:
        received.append(await theirs.receive())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await turn()
            assert received == []
            await ours.send(b"x")
    assert received == [b"x"]


async def test_receive_nowait_tells_silence_bytes_and_end_apart(ends: Ends) -> None:
    ours, theirs = ends
    assert theirs.receive_nowait() is None
    await ours.send(b"last")
    await ours.send_eof()
    assert theirs.receive_nowait() == b"last"
    assert theirs.receive_nowait() == b""
    assert theirs.receive_nowait() == b""


async def test_half_a_connection_can_be_ended_and_the_other_goes_on(ends: Ends) -> None:
    ours, theirs = ends
    await ours.send(b"question")
    await ours.send_eof()
    assert await theirs.receive() == b"question"
    with pytest.raises(anyio.EndOfStream):
        await theirs.receive()
    await theirs.send(b"answer")
    assert await ours.receive() == b"answer"
    with pytest.raises(anyio.ClosedResourceError):
        await ours.send(b"more")


async def test_after_close_the_peer_reads_what_is_in_flight_and_cannot_send(ends: Ends) -> None:
    ours, theirs = ends
    await ours.send(b"last")
    await ours.aclose()
    assert ours.is_closed is True
    with pytest.raises(anyio.BrokenResourceError) as caught:
        await theirs.send(b"x")
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    assert await theirs.receive() == b"last"
    with pytest.raises(anyio.EndOfStream):
        await theirs.receive()


async def test_a_closed_end_neither_sends_nor_receives(ends: Ends) -> None:
    ours, theirs = ends
    await theirs.send(b"x")
    await ours.aclose()
    await ours.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await ours.send(b"x")
    with pytest.raises(anyio.ClosedResourceError):
        await ours.receive()
    with pytest.raises(anyio.ClosedResourceError):
        ours.receive_nowait()


async def test_a_reset_loses_what_is_in_flight_on_both_sides(ends: Ends) -> None:
    ours, theirs = ends
    await ours.send(b"lost")
    await theirs.send(b"lost too")
    theirs.reset()
    with pytest.raises(anyio.BrokenResourceError) as caught:
        await ours.receive()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(anyio.BrokenResourceError):
        await ours.send(b"x")
    with pytest.raises(ConnectionResetError):
        ours.receive_nowait()
    with pytest.raises(anyio.ClosedResourceError):
        await theirs.receive()


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_whoever_is_blocked_in_send_or_receive_hears_of_the_end(ends: Ends, end: str) -> None:
    ours, theirs = ends
    raised: list[type[BaseException]] = []

    async def send() -> None:
        try:
            await ours.send(b"more than the capacity")
        except anyio.BrokenResourceError:
            raised.append(anyio.BrokenResourceError)

    async def receive() -> None:
        try:
            await ours.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raised.append(type(error))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            group.start_soon(receive)
            await turn()
            getattr(theirs, end)()
    received = anyio.EndOfStream if end == "close" else anyio.BrokenResourceError
    assert sorted(raised, key=repr) == sorted([anyio.BrokenResourceError, received], key=repr)


async def test_two_tasks_may_not_receive_or_send_at_once_as_on_a_socket(ends: Ends) -> None:
    ours, _ = ends
    async with anyio.create_task_group() as group:
        group.start_soon(ours.receive)
        group.start_soon(ours.send, b"more than the capacity")
        await turn()
        with pytest.raises(anyio.BusyResourceError):
            await ours.receive()
        with pytest.raises(anyio.BusyResourceError):
            await ours.send(b"x")
        group.cancel_scope.cancel()


async def test_a_cancelled_receive_loses_nothing(ends: Ends) -> None:
    ours, theirs = ends
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(theirs.receive)
            await turn()
            ours._outgoing.chunks.append(b"x")  # arrives in the moment of the cancellation
            ours._outgoing.size += 1
            scope.cancel()
            ours._outgoing.touch()
    assert await theirs.receive() == b"x"


async def test_a_network_connects_to_who_listens() -> None:
    with anyio.fail_after(5):
        async with MemoryNetwork() as network:
            network.listen("echo.test", 80, echo)
            stream = await network.connect("echo.test", 80)
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            assert network.streams == [stream]
            assert network.open_connections == 1
            await stream.aclose()
            assert network.open_connections == 0


@pytest.mark.parametrize("place", [("echo.test", 443), ("other.test", 80)])
async def test_where_nobody_listens_the_connection_is_refused(place: tuple[str, int]) -> None:
    async with MemoryNetwork() as network:
        network.listen("echo.test", 80, echo)
        with pytest.raises(ConnectionRefusedError):
            await network.connect(*place)
        assert network.streams == []


async def test_outside_of_its_block_a_network_refuses() -> None:
    network = MemoryNetwork()
    network.listen("echo.test", 80, echo)
    with pytest.raises(ConnectionRefusedError):
        await network.connect("echo.test", 80)
    async with network:
        await network.connect("echo.test", 80)
    with pytest.raises(ConnectionRefusedError):
        await network.connect("echo.test", 80)
    async with network:
        await network.connect("echo.test", 80)


async def test_a_handler_that_returns_closes_its_connection() -> None:
    async def say_hello(stream: MemoryStream) -> None:
        await stream.send(b"hello")

    async with MemoryNetwork() as network:
        network.listen("hello.test", 80, say_hello)
        stream = await network.connect("hello.test", 80)
        assert await stream.receive() == b"hello"
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_a_handler_may_lose_its_client_but_its_bugs_are_heard() -> None:
    async def lose(stream: MemoryStream) -> None:
        await stream.receive()

    async def fail(stream: MemoryStream) -> None:
        raise ZeroDivisionError

    async with MemoryNetwork() as network:
        network.listen("lose.test", 80, lose)
        (await network.connect("lose.test", 80)).close()
        await turn()
    with pytest.raises(ExceptionGroup) as caught:
        async with MemoryNetwork() as network:
            network.listen("fail.test", 80, fail)
            await network.connect("fail.test", 80)
            await anyio.sleep_forever()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_the_end_of_the_network_is_the_end_of_its_handlers() -> None:
    is_over = False

    async def hang(stream: MemoryStream) -> None:
        nonlocal is_over
        try:
            await anyio.sleep_forever()
        finally:
            is_over = True

    async with MemoryNetwork() as network:
        network.listen("hang.test", 80, hang)
        stream = await network.connect("hang.test", 80)
        await turn()
        assert is_over is False
    assert is_over is True
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


async def test_the_capacity_of_a_network_is_that_of_its_connections() -> None:
    async def hang(stream: MemoryStream) -> None:
        await anyio.sleep_forever()

    async with MemoryNetwork(capacity=3) as network:
        network.listen("hang.test", 80, hang)
        stream = await network.connect("hang.test", 80)
        await stream.send(b"123")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(stream.send, b"4")
                await turn()
                scope.cancel()
        assert scope.cancelled_caught is True
