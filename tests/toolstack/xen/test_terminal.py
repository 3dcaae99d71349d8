"""A domain's terminal is opened as soon as its daemon has named it, raw."""

from __future__ import annotations

import os
import pty
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from handoff.errors import MachineError
from toolstack.store import Store
from toolstack.xen.terminal import TTY_S, pv_console, serial_port, terminal
from toolstack.xenstored import open_store
from xenstore_sim.wire.names import DomId

NODE = serial_port(DomId(5))


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store(None) as store:
        yield store


@pytest.fixture
def daemon() -> Iterator[tuple[int, str]]:
    """The daemon's end, and the terminal's name."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    os.close(theirs)
    yield ours, name
    with suppress(OSError):
        os.close(ours)


def test_the_nodes_are_those_of_libxl_and_of_xenconsoled() -> None:
    assert NODE == "/local/domain/5/serial/0/tty"
    assert pv_console(DomId(6)) == "/local/domain/6/console/tty"


async def test_what_is_written_is_read_as_it_is(store: Store, daemon: tuple[int, str]) -> None:
    ours, name = daemon
    await store.client.write(NODE, name)
    async with terminal(store.client, NODE) as stream:
        os.write(ours, b"line\r\n\x03")
        with trio.fail_after(30):
            assert await stream.receive_some(100) == b"line\r\n\x03"


async def test_a_name_that_comes_late_is_waited_for(store: Store, daemon: tuple[int, str]) -> None:
    async with trio.open_nursery() as nursery:
        opened = trio.Event()

        async def wait() -> None:
            async with terminal(store.client, NODE):
                opened.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not opened.is_set()
        await store.client.write(NODE, daemon[1])
        with trio.fail_after(30):
            await opened.wait()


async def ended(stream: trio.abc.ReceiveStream) -> bool:
    """Linux says so in one of two ways."""
    with suppress(trio.BrokenResourceError):
        return await stream.receive_some(100) == b""
    return True


async def test_a_terminal_whose_daemon_is_gone_has_ended(
    store: Store, daemon: tuple[int, str]
) -> None:
    ours, name = daemon
    await store.client.write(NODE, name)
    async with terminal(store.client, NODE) as stream:
        os.close(ours)
        assert await ended(stream)


async def test_what_is_no_terminal_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    held = os.listdir("/proc/self/fd")
    for word, how in (("missing", "is gone"), ("file", "cannot be opened")):
        name = tmp_path / word
        await store.client.write(NODE, str(name))
        with pytest.raises(MachineError, match=f"{name}, which {NODE} names, {how}"):
            async with terminal(store.client, NODE):
                pytest.fail("that is no terminal")
    assert os.listdir("/proc/self/fd") == held


async def test_a_name_that_never_comes_is_given_up(
    autojump_clock: trio.testing.MockClock, store: Store
) -> None:
    with pytest.raises(MachineError, match=rf"no pseudo-terminal in {NODE} within {TTY_S:g} s"):
        async with terminal(store.client, NODE):
            pytest.fail("there is none")
