"""A xenstored in the test's own process."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from tests.deadline import missed_after
from toolstack.store import Store
from xenstore_sim.client import Client
from xenstore_sim.server import serve

DEADLINE_S = 300


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """An empty directory whose name leaves room: that of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ts-") as directory:
        yield Path(directory)


@pytest.fixture
async def rundir(nursery: trio.Nursery, short_directory: Path) -> Path:
    """Run directory of a fresh xenstored; every wait of the test ends with its deadline."""
    nursery.start_soon(missed_after, DEADLINE_S)
    await nursery.start(serve, short_directory)
    return short_directory


@pytest.fixture
async def store(rundir: Path) -> AsyncIterator[Store]:
    """Dom0's connection to it."""
    async with Client.connect(rundir / "socket") as client:
        yield Store(client, rundir)
