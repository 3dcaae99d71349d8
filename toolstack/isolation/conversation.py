"""Boots guests with device models that lie, and sees whether one of them gets anywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from handoff.confinement import Mode
from handoff.errors import HandoffError
from toolstack.console import Console
from toolstack.create import Request, create
from toolstack.demo import builtin_guest
from toolstack.guest_run import Patience
from toolstack.isolation.lies import LIES, Lie
from toolstack.isolation.listener import Listener
from toolstack.isolation.result import Result
from toolstack.machine.none import NoMachine

STAGE_TIMEOUT_S = 2.0
_LIE_S = 15.0
"""No lie may keep the toolstack longer."""
_AT_ONCE = 2
_UNPAUSED = ("toolstack", "unpaused")


async def tell_all(sandbox: Mode, lies: Sequence[Lie] = LIES) -> dict[str, Result]:
    """What came of each lie, by its name: through if a guest was let go because of it."""
    results: dict[str, Result] = {}
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def tell(lie: Lie) -> None:
        async with limit:
            results[lie.name] = await _told(lie, sandbox)

    async with trio.open_nursery() as nursery:
        for lie in lies:
            nursery.start_soon(tell, lie)
    return results


async def _told(lie: Lie, sandbox: Mode) -> Result:
    listener = Listener(lambda line: None)
    with _nowhere() as console, trio.move_on_after(_LIE_S):
        try:
            await create(_request(lie, sandbox), listener, console)
            end = "it ran"
        except HandoffError as error:
            end = f"{error.kind}: exit {error.exit_code}"
        return Result(_UNPAUSED in listener.reached, end)
    return Result(_UNPAUSED in listener.reached, f"no end in {_LIE_S:g} s", hung=True)


def _request(lie: Lie, sandbox: Mode) -> Request:
    return Request(
        config=builtin_guest(),
        machine=NoMachine(hold_s=0.0),
        patience=Patience(None, None),
        sandbox=sandbox,
        tries=1,
        stage_timeout_s=STAGE_TIMEOUT_S,
        device_model_program=_program(lie),
    )


def _program(lie: Lie) -> Sequence[str]:
    return (sys.executable, "-I", "-m", "toolstack.isolation.lies", lie.name)


@contextmanager
def _nowhere() -> Iterator[Console]:
    fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield Console(fd)
    finally:
        os.close(fd)
