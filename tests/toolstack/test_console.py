"""Every byte of the guest's goes on, and whoever reads slowly or not at all harms nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from handoff.errors import ConfigError
from toolstack.console import Console, open_serial_file

LIMIT_S = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for fd in (read_end, write_end):
        try:
            os.close(fd)
        except OSError:
            continue


async def _relay(console: Console, *pieces: bytes) -> None:
    send, receive = trio.testing.memory_stream_one_way_pair()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(console.relay, receive)
            for piece in pieces:
                await send.send_all(piece)
            await send.aclose()


async def test_every_byte_goes_on_in_order(tmp_path: Path) -> None:
    pieces = [bytes([n]) * (n * 1000) for n in range(40)]
    fd = open_serial_file(tmp_path / "log")
    await _relay(Console(fd), *pieces)
    os.close(fd)
    assert (tmp_path / "log").read_bytes() == b"".join(pieces)


async def test_it_spoke_with_the_first_byte_and_not_before(tmp_path: Path) -> None:
    fd = open_serial_file(tmp_path / "log")
    console = Console(fd)
    await _relay(console)
    assert not console.spoke.is_set()
    await _relay(console, b"\0")
    assert console.spoke.is_set()
    os.close(fd)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
async def test_a_slow_reader_holds_the_guest_up_and_loses_nothing(
    blocking: bool, pipe: tuple[int, int]
) -> None:
    read_end, write_end = pipe
    # Whoever else has the file open decides this, and may leave it so.
    os.set_blocking(write_end, blocking)
    # More than the pipe holds, so that the relay has to wait for the reader.
    content = os.urandom(300_000)
    console = Console(write_end)
    send, receive = trio.testing.memory_stream_one_way_pair()
    got = b""
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:

            async def relay() -> None:
                await console.relay(receive)
                os.close(write_end)

            nursery.start_soon(relay)
            await send.send_all(content)
            await send.aclose()
            while data := await trio.to_thread.run_sync(os.read, read_end, 999):
                got += data
    assert got == content


async def test_a_reader_that_hung_up_stops_nothing(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    os.close(read_end)
    console = Console(write_end)
    await _relay(console, b"first\n", b"second\n", b"third\n")
    assert console.broken
    assert console.last_line() == "third"


async def test_a_reader_that_sleeps_does_not_hold_up_a_cancellation(
    pipe: tuple[int, int],
) -> None:
    _, write_end = pipe
    console = Console(write_end)
    send, receive = trio.testing.memory_stream_one_way_pair()
    await send.send_all(bytes(1 << 20))
    with trio.fail_after(LIMIT_S), trio.move_on_after(0.05) as scope:
        await console.relay(receive)
    assert scope.cancelled_caught


async def test_a_serial_port_that_breaks_ends_the_relay() -> None:
    class Broken(trio.abc.ReceiveStream):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    await Console(-1).relay(Broken())


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        (b"", ""),
        (b"\r\n \r\n", ""),
        (b"one\r\ntwo\r\n\r\n", "two"),
        (b"no end", "no end"),
        (b"login: \x1b[5m\x07", "login: ?[5m?"),
        (b"\xff\xfe", "??"),
        (b"x" * 500, "x" * 117 + "..."),
    ],
)
def test_the_last_line_with_text_is_shown_clean_and_cut(tail: bytes, line: str) -> None:
    console = Console(-1)
    console.tail = tail
    assert console.last_line() == line


@given(tail=st.binary(max_size=400))
def test_no_guest_can_put_a_control_character_into_a_message(tail: bytes) -> None:
    console = Console(-1)
    console.tail = tail
    assert all(" " <= character <= "~" for character in console.last_line())


async def test_of_what_it_said_only_the_tail_is_kept(tmp_path: Path) -> None:
    fd = open_serial_file(tmp_path / "log")
    console = Console(fd)
    await _relay(console, *[b"y" * 10_000] * 30, b"\nend")
    os.close(fd)
    assert len(console.tail) <= 400
    assert console.last_line() == "end"


async def test_a_serial_file_is_emptied_when_a_guest_runs_and_not_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"of the run before, and longer")
    fd = open_serial_file(log)
    assert log.read_bytes() == b"of the run before, and longer"
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    await ours.send_all(b"of this run")
    await ours.aclose()
    await Console(fd, empty_first=True).relay(theirs)
    os.close(fd)
    assert log.read_bytes() == b"of this run"


def test_a_serial_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"serial: file {tmp_path} cannot be written .*: name"):
        open_serial_file(tmp_path)
