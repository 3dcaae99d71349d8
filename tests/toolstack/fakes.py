"""Stand-ins for what surrounds the toolstack: a listener, a machine, and a guest's files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
import trio.testing

from handoff.addresses import GIB, Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.descriptor import Descriptor, Insert, Role
from handoff.errors import HandoffError, MachineError
from handoff.report import Report, encode_report
from tests.toolstack.scripted_device_model import REPORT
from toolstack.config import GuestConfig
from toolstack.machine.port import EndReason, Hardware, MachineEnd

POWERED_OFF = MachineEnd(EndReason.POWERED_OFF, "")


def chunks(report: Report = REPORT, generation: int = 1) -> tuple[bytes, ...]:
    """`report` as the values of the report's nodes."""
    return tuple(c.encode() for c in base64_chunks.split(encode_report(report, generation)))


@dataclass
class Recorder:
    """Implements the Progress port; remembers what it was told and shows it to `on_stage`."""

    on_stage: Callable[[str, str], None] = lambda who, what: None
    stages: list[tuple[str, str]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    loads: list[tuple[Role, int, int]] = field(default_factory=list)
    offers: list[tuple[Descriptor, bytes]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    failures: list[HandoffError] = field(default_factory=list)

    def stage(self, who: str, what: str, detail: str = "") -> None:
        self.stages.append((who, what))
        self.details.append(detail)
        self.on_stage(who, what)

    def loading(self, role: Role, done: int, total: int) -> None:
        self.loads.append((role, done, total))

    def published(self, descriptor: Descriptor, frame: bytes) -> None:
        self.offers.append((descriptor, frame))

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None:
        self.reports.append(report)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def log(self, source: str, line: str) -> None:
        self.lines.append((source, line))

    def failed(self, error: HandoffError) -> None:
        self.failures.append(error)


class FakeRunning:
    """Implements the RunningMachine port: it ends when `end` is called."""

    def __init__(self, deeds: list[str]) -> None:
        self.pid = 4711
        self.serial, receive = trio.testing.memory_stream_one_way_pair()
        self.console: trio.abc.ReceiveStream = receive
        self._deeds = deeds
        self._over = trio.Event()
        self._end = POWERED_OFF

    def end(self, end: MachineEnd = POWERED_OFF) -> None:
        """The machine ends, its serial port with it."""
        self._end = end
        self.serial.close()
        self._over.set()

    async def unpause(self) -> None:
        await trio.lowlevel.checkpoint()
        self._deeds.append("unpaused")

    async def wait(self) -> MachineEnd:
        await self._over.wait()
        return self._end


@dataclass
class FakeMachine:
    """Implements the Machine port; `deeds` tells what was done to it, in order.

    ends: how it ends as soon as it was unpaused; None: only by the test. refuses: why it
    does not start.
    """

    insert: Insert = Insert.WINDOW
    ends: MachineEnd | None = POWERED_OFF
    says: bytes = b""
    refuses: str | None = None
    name: str = "fake"
    deeds: list[str] = field(default_factory=list)
    roms: list[bytes | None] = field(default_factory=list)
    running: list[FakeRunning] = field(default_factory=list)

    def low_ram_limit(self, memory_bytes: int) -> Gpa:
        return Gpa(3 * GIB)

    def start(
        self, hardware: Hardware, rom: bytes | None
    ) -> AbstractAsyncContextManager[FakeRunning]:
        return self._start(rom)

    @asynccontextmanager
    async def _start(self, rom: bytes | None) -> AsyncIterator[FakeRunning]:
        await trio.lowlevel.checkpoint()
        if self.refuses is not None:
            raise MachineError(self.refuses)
        self.deeds.append("started")
        self.roms.append(rom)
        running = FakeRunning(self.deeds)
        self.running.append(running)
        if self.says:
            await running.serial.send_all(self.says)
        if self.ends is not None:
            running.end(self.ends)
        try:
            yield running
        finally:
            self.deeds.append("destroyed")


class FakeProcess:
    """A device model's process as far as anybody waits for it; ends when told to."""

    def __init__(self) -> None:
        self.last_words = ""
        self._ended = trio.Event()
        self._how = ""

    def end(self, how: str) -> None:
        self._how = how
        self._ended.set()

    async def wait(self) -> str:
        await self._ended.wait()
        return self._how


def guest_config(kernel: Path | None = None, ramdisk: Path | None = None) -> GuestConfig:
    """The smallest guest there is."""
    return GuestConfig(
        name="fake",
        memory_mib=64,
        kernel=None if kernel is None else str(kernel),
        ramdisk=None if ramdisk is None else str(ramdisk),
        device_model_stubdomain_override=True,
    )
