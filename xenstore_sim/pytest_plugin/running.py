"""A daemon for trio programs that test their own Xen software."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from xenstore_sim.pytest_plugin.options import settings
from xenstore_sim.server import ServerHandle, serve
from xenstore_sim.store.expiry import WATCH_TIMEOUT_S
from xenstore_sim.store.faults import FaultPlan


def run_directory() -> "TemporaryDirectory[str]":
    """A directory whose name leaves room for sockets: pytest's own are often too long."""
    return TemporaryDirectory(prefix="xs-test-", dir="/tmp")


@asynccontextmanager
async def running_xenstored(
    *,
    compat: str | None = None,
    quotas: Mapping[str, int] | None = None,
    faults: FaultPlan | str | None = None,
    watch_timeout_s: float = WATCH_TIMEOUT_S,
    seed: int = 0,
) -> AsyncIterator[ServerHandle]:
    """A fresh daemon while the block runs, in the trio run of the caller.

    The options are those of `options.settings`. What the block raises comes as it is.
    """
    wanted = settings(
        compat=compat, quotas=quotas, faults=faults, watch_timeout_s=watch_timeout_s, seed=seed
    )
    with run_directory() as rundir:
        try:
            async with trio.open_nursery() as nursery:
                handle: ServerHandle = await nursery.start(
                    partial(serve, Path(rundir), settings=wanted)
                )
                yield handle
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            (failure,) = group.exceptions
        else:
            return
    raise failure
