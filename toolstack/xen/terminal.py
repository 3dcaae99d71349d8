"""What a domain writes, by the pseudo-terminal that a daemon of dom0 serves it by."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from handoff.errors import MachineError
from handoff.keys import child
from xenstore_sim.client import Client
from xenstore_sim.wire.names import AbsolutePath, DomId, home

TTY_S: Final = 30.0
"""Longest wait for the node that names it: QEMU's before the domain may run, xenconsoled's as soon
as it has seen the domain."""


def serial_port(domid: DomId) -> AbsolutePath:
    """Names the terminal of an HVM guest's first serial port, which is QEMU's."""
    return child(home(domid), "serial/0/tty")


def pv_console(domid: DomId) -> AbsolutePath:
    """Names that of a PV domain's console, which is xenconsoled's."""
    return child(home(domid), "console/tty")


@asynccontextmanager
async def terminal(client: Client, node: AbsolutePath) -> AsyncIterator[trio.lowlevel.FdStream]:
    """What is written there, byte by byte. Raises: MachineError, XenstoreError."""
    path = await _written(client, node)
    try:
        fd = _opened_raw(path)
    except FileNotFoundError as error:
        # libxl ends QEMU before it takes the domain away.
        raise MachineError(
            f"{os.fsdecode(path)}, which {node} names, is gone: its domain was destroyed, or "
            "whoever served it has ended"
        ) from error
    except (OSError, termios.error) as error:
        shown = path.decode("ascii", "replace")
        raise MachineError(f"{shown}, which {node} names, cannot be opened: {error}") from error
    async with trio.lowlevel.FdStream(fd) as stream:
        yield stream


def _opened_raw(path: bytes) -> int:
    """Raises: OSError, termios.error if it is no terminal."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        tty.setraw(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


async def _written(client: Client, node: AbsolutePath) -> bytes:
    with trio.move_on_after(TTY_S):
        async with client.watch(node) as watch:
            while True:
                await watch.get()
                value = await client.read_or_none(node)
                if value:
                    return value
    raise MachineError(f"no pseudo-terminal in {node} within {TTY_S:g} s: see /var/log/xen")
