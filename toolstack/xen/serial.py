"""The guest's first serial port: the pseudo-terminal that QEMU in dom0 serves it by."""

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
from xenstore_sim.wire.names import DomId, home

TTY_S: Final = 10.0
"""Longest wait for libxl to write where it is: it does so before the domain may run."""


@asynccontextmanager
async def serial_port(client: Client, domid: DomId) -> AsyncIterator[trio.lowlevel.FdStream]:
    """What the guest writes, byte by byte. Raises: MachineError, XenstoreError."""
    node = child(home(domid), "serial/0/tty")
    path = await _written(client, node)
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        tty.setraw(fd)
    except (OSError, termios.error) as error:
        raise MachineError(
            f"domain {domid}: its serial port {path.decode('ascii', 'replace')} cannot be opened: "
            f"{error}"
        ) from error
    async with trio.lowlevel.FdStream(fd) as stream:
        yield stream


async def _written(client: Client, node: str) -> bytes:
    with trio.move_on_after(TTY_S):
        async with client.watch(node) as watch:
            while True:
                await watch.get()
                value = await client.read_or_none(node)
                if value:
                    return value
    raise MachineError(
        f"libxl wrote no pseudo-terminal to {node} within {TTY_S:g} s: see /var/log/xen"
    )
