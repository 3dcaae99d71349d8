"""The `none` machine: everything is ready in guest RAM, and nobody runs it.

For people who attach a machine of their own to the memory file.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import trio

from handoff.addresses import Gpa
from handoff.descriptor import Insert
from handoff.platforms import Platform, low_ram_limit
from toolstack.machine.port import EndReason, Hardware, MachineEnd


class _Silence(trio.abc.ReceiveStream):
    """A console that has ended."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class LeftAlone:
    """Implements the RunningMachine port."""

    def __init__(self, hardware: Hardware, hold_s: float) -> None:
        self._hold_s = hold_s
        self._ram = f"/proc/{os.getpid()}/fd/{hardware.ram_fd}"
        self.console: trio.abc.ReceiveStream = _Silence()
        self.pid = os.getpid()

    async def unpause(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait(self) -> MachineEnd:
        await trio.sleep(self._hold_s)
        return MachineEnd(EndReason.LEFT, f"guest RAM was {self._ram}")


@dataclass(frozen=True, slots=True)
class NoMachine:
    """Implements the Machine port."""

    hold_s: float = math.inf
    """how long guest RAM stays there for somebody to attach to, seconds"""

    @property
    def name(self) -> str:
        return "none"

    @property
    def insert(self) -> Insert:
        return Insert.WINDOW

    def low_ram_limit(self, memory_bytes: int) -> Gpa:
        return low_ram_limit(Platform.QEMU_PC, memory_bytes)

    def start(
        self, hardware: Hardware, rom: bytes | None
    ) -> AbstractAsyncContextManager[LeftAlone]:
        return self._start(hardware)

    @asynccontextmanager
    async def _start(self, hardware: Hardware) -> AsyncIterator[LeftAlone]:
        await trio.lowlevel.checkpoint()
        yield LeftAlone(hardware, self.hold_s)
