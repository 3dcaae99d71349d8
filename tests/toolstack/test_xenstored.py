"""Whose xenstored a toolstack works with, and what it says if there is none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio.testing

from handoff.errors import RunDirectoryBusy, XenstoreUnavailable
from tests.toolstack.crowded_socket import crowded
from toolstack.run_directory import locked
from toolstack.xenstored import open_store
from xenstore_sim.wire.errors import Disconnected


async def test_no_xenstored_is_an_error_that_names_the_directory(short_directory: Path) -> None:
    with pytest.raises(XenstoreUnavailable, match=f"xenstored at {short_directory}: no xenstore"):
        async with open_store(short_directory):
            pass


async def test_a_xenstored_that_accepts_and_never_answers_is_given_up(
    short_directory: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "socket"))
        listener.listen()
        with pytest.raises(XenstoreUnavailable, match="does not answer within 10 s"):
            async with open_store(short_directory):
                pass


async def test_a_xenstored_that_accepts_nobody_is_given_up(
    short_directory: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with (
        crowded(short_directory / "socket"),
        pytest.raises(XenstoreUnavailable, match="does not answer within 10 s"),
    ):
        async with open_store(short_directory):
            pass


async def test_a_running_xenstored_is_for_one_toolstack(rundir: Path) -> None:
    async with open_store(rundir) as store:
        assert await store.domains_in_use() <= {0}
        with pytest.raises(RunDirectoryBusy), locked(rundir):
            pass
    with locked(rundir):
        pass


async def test_a_connection_lost_in_the_work_is_xenstore_unavailable(rundir: Path) -> None:
    with pytest.raises(XenstoreUnavailable, match="the xenstore daemon closed"):
        async with open_store(rundir):
            raise Disconnected("the xenstore daemon closed the connection")
