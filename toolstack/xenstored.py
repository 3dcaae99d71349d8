"""The xenstored that a toolstack of the simulation works with: one that runs, or one of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from handoff.errors import XenstoreUnavailable
from toolstack.run_directory import locked, own_directory
from toolstack.store import CONNECT_S, Store
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import XenstoreError


@asynccontextmanager
async def open_store(rundir: Path | None) -> AsyncIterator[Store]:
    """xenstored of `rundir`, or one of our own in this process, locked for this toolstack.

    Raises: XenstoreUnavailable, RunDirectoryBusy.
    """
    if rundir is not None:
        with locked(rundir):
            async with _connected(rundir) as store:
                yield store
        return
    # Imported here: it is a daemon, and most of what a start would import.
    from xenstore_sim.server import RunDirectoryError, serve

    with own_directory() as own:
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(serve, own)
            except (RunDirectoryError, OSError) as error:
                raise XenstoreUnavailable(f"xenstored cannot serve from {own}: {error}") from error
            try:
                async with _connected(own) as store:
                    yield store
            finally:
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def _connected(rundir: Path) -> AsyncIterator[Store]:
    try:
        async with AsyncExitStack() as stack:
            with trio.fail_after(CONNECT_S):
                client = await stack.enter_async_context(Client.connect(rundir / "socket"))
                await client.exists("/tool")
            yield Store(client, rundir)
    except XenstoreError as error:
        raise XenstoreUnavailable(f"xenstored at {rundir}: {error}") from error
    except trio.TooSlowError as error:
        raise XenstoreUnavailable(
            f"xenstored at {rundir} does not answer within {CONNECT_S:g} s"
        ) from error
