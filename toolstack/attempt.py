"""One attempt: a device model is followed from `discovered` to `ready`, and the guest let go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from handoff.carriers.base64_chunks import CHUNKS_MAX
from handoff.conversation.toolstack_side import (
    AnswerRead,
    Command,
    DeadlinePassed,
    DeviceModelEnded,
    ErrorRead,
    Event,
    GiveUp,
    Lost,
    MachinePrepared,
    PrepareMachine,
    Reached,
    ReadError,
    ReadReport,
    ReportRead,
    RunningRead,
    ToolstackSide,
    Unpause,
)
from handoff.descriptor import Insert, Role
from handoff.errors import HandoffError, PeerMisbehaved, XenstoreUnavailable
from handoff.firmware import BiosRom, DirectEntry
from handoff.guest_ram import GuestRam
from handoff.keys import HandoffKeys, numbered
from handoff.report import Report
from toolstack.host import GuestMachine, GuestMemory, RunningDeviceModel
from toolstack.machine.port import RunningMachine
from toolstack.progress import Progress
from toolstack.publish import tables_writes
from xenstore_sim.client import Client, Transaction, Watch
from xenstore_sim.wire.errors import EventsLost, XenstoreError
from xenstore_sim.wire.names import AbsolutePath

_EVENTS_BOUND = 16
"""Paths S may have changed and we not yet read; it has reason to touch fewer than that."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt works with."""

    generation: int
    keys: HandoffKeys
    memory: GuestMemory
    machine: GuestMachine
    stage_timeout_s: float
    """longest wait for the next stage, seconds"""
    boots_firmware: bool = False
    """there is no kernel: firmware was handed over"""
    tables: frozenset[Role] = frozenset()
    """what was handed over for hvmloader to read"""


@dataclass(frozen=True, slots=True)
class LetGo:
    """A guest that runs, and what was done for it."""

    machine: RunningMachine
    report: Report


@asynccontextmanager
async def follow(
    attempt: Attempt, client: Client, process: RunningDeviceModel, progress: Progress
) -> AsyncIterator[LetGo]:
    """The guest runs while the context lasts; its machine is destroyed at the end.

    Raises: HandoffError if the device model did not bring it that far.
    """
    side = ToolstackSide(attempt.generation, attempt.memory.ranges)
    send, receive = trio.open_memory_channel[Event](_EVENTS_BOUND)
    async with AsyncExitStack() as stack:
        follower = _Follower(attempt, client, process, side, progress, stack)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_answers, client, attempt.keys, send)
            nursery.start_soon(_watch_process, client, attempt.keys, process, send)
            try:
                error = await follower.until_over(receive)
            finally:
                nursery.cancel_scope.cancel()
        if error is not None:
            raise error
        yield follower.let_go()


class _Follower:
    def __init__(
        self,
        attempt: Attempt,
        client: Client,
        process: RunningDeviceModel,
        side: ToolstackSide,
        progress: Progress,
        stack: AsyncExitStack,
    ) -> None:
        self._attempt = attempt
        self._client = client
        self._process = process
        self._side = side
        self._progress = progress
        self._stack = stack
        self._machine: RunningMachine | None = None

    async def until_over(self, events: trio.MemoryReceiveChannel[Event]) -> HandoffError | None:
        """Handles events until the guest was let go (None) or the attempt is lost."""
        timeout = self._attempt.stage_timeout_s
        deadline = trio.current_time() + timeout
        while True:
            with trio.move_on_at(deadline) as scope:
                event = await events.receive()
            if scope.cancelled_caught:
                event = DeadlinePassed(timeout, self._process.last_words)
            todo = list(self._side.handle(event))
            while todo:
                command = todo.pop(0)
                if isinstance(command, GiveUp):
                    return command.error
                if isinstance(command, Reached):
                    deadline = trio.current_time() + timeout
                    self._progress.stage("device model", command.stage.value)
                try:
                    answer = await self._do(command)
                except HandoffError as error:
                    return error
                except XenstoreError as error:
                    return XenstoreUnavailable(f"xenstore connection lost: {error}")
                if isinstance(command, Unpause):
                    return None
                if isinstance(command, PrepareMachine):
                    # The machine's start has a deadline of its own and is not S's doing.
                    deadline = trio.current_time() + timeout
                if answer is not None:
                    todo.extend(self._side.handle(answer))

    async def _do(self, command: Command) -> Event | None:
        keys = self._attempt.keys
        match command:
            case ReadError() | ReadReport():
                with trio.move_on_after(self._attempt.stage_timeout_s):
                    if isinstance(command, ReadError):
                        return ErrorRead(await self._client.read_or_none(keys.error))
                    return ReportRead(await self._client.transaction(self._read_report))
                return DeadlinePassed(self._attempt.stage_timeout_s, self._process.last_words)
            case PrepareMachine(report):
                await self._start_machine(report)
                return MachinePrepared()
            case Unpause():
                assert self._machine is not None
                await self._machine.unpause()
                self._progress.stage("toolstack", "unpaused")
                return None
            case Reached() | GiveUp():
                return None

    async def _start_machine(self, report: Report) -> None:
        attempt = self._attempt
        if (report.firmware is not None) != attempt.boots_firmware:
            asked, told = (
                ("firmware", "a kernel") if attempt.boots_firmware else ("a kernel", "firmware")
            )
            raise PeerMisbehaved(f"the report starts {told}, and {asked} was handed over")
        _check_rom(report, attempt.machine.insert)
        await self._tell_tables(report)
        rom = None
        if attempt.machine.insert is Insert.GENROMS:
            rom = snapshot(report, attempt.memory.ram)
        self._progress.placed(report, attempt.memory.ranges)
        self._machine = await self._stack.enter_async_context(
            attempt.machine.start(report.firmware, rom)
        )
        self._progress.stage("machine", "paused", attempt.machine.told(self._machine))

    async def _tell_tables(self, report: Report) -> None:
        """hvmloader finds them by xenstore. Raises: PeerMisbehaved for others than were given."""
        attempt, entry = self._attempt, report.firmware
        tables = entry.tables if isinstance(entry, DirectEntry) else ()
        if {role for role, _ in tables} != attempt.tables:
            told = ", ".join(role.value for role, _ in tables) or "none"
            asked = ", ".join(sorted(role.value for role in attempt.tables)) or "none"
            raise PeerMisbehaved(f"the report has tables: {told}; handed over: {asked}")
        if isinstance(entry, DirectEntry):
            for write in tables_writes(attempt.keys, entry):
                await self._client.write(write.path, write.value)

    async def _read_report(self, transaction: Transaction) -> tuple[bytes, ...]:
        """The chunks S wrote, no more of them than a report can have."""
        chunks: list[bytes] = []
        while len(chunks) <= CHUNKS_MAX:
            node = numbered(self._attempt.keys.report, len(chunks) + 1)
            chunk = await transaction.read_or_none(node)
            if chunk is None:
                break
            chunks.append(chunk)
        return tuple(chunks)

    def let_go(self) -> LetGo:
        assert self._machine is not None
        assert self._side.report is not None
        return LetGo(self._machine, self._side.report)


def _check_rom(report: Report, insert: Insert) -> None:
    """Raises: PeerMisbehaved if the ROM of a kernel is missing, or nobody asked for one."""
    wanted = report.firmware is None and insert is not Insert.PCI_ROM
    if (report.rom is not None) != wanted:
        told, asked = ("no rom", "one") if wanted else ("a rom", "none")
        raise PeerMisbehaved(f"the report has {told}, and {insert.value} takes {asked}")


def snapshot(report: Report, ram: GuestRam) -> bytes | None:
    """The bytes of the BIOS extension, or of the BIOS, as they are now: for machines that take a
    file. None if firmware is entered where it lies.

    The report was checked: the range is guest RAM and no larger than an option ROM, or a BIOS,
    can be. Raises: PeerMisbehaved if it is no option ROM; what it does is the guest's own affair.
    """
    if isinstance(report.firmware, BiosRom):
        return ram.read(report.firmware.range)
    if report.rom is None:
        return None
    rom = ram.read(report.rom)
    if len(rom) % 512 != 0 or rom[:3] != bytes((0x55, 0xAA, len(rom) // 512)):
        raise PeerMisbehaved(
            f"the BIOS extension at {report.rom} is no option ROM (starts {rom[:3].hex()}): "
            "the device model is broken"
        )
    return rom


async def _watch_answers(
    client: Client, keys: HandoffKeys, events: trio.MemorySendChannel[Event]
) -> None:
    """Reads the two nodes that matter whenever something of S's directory changes."""
    try:
        async with client.watch(keys.device_model, bound=_EVENTS_BOUND * 4) as watch:
            await _read_on_change(client, keys, watch, events)
    except EventsLost as error:
        await events.send(Lost(PeerMisbehaved(f"the device model floods its nodes: {error}")))
    except XenstoreError as error:
        await events.send(Lost(XenstoreUnavailable(f"xenstore connection lost: {error}")))


async def _read_on_change(
    client: Client, keys: HandoffKeys, watch: Watch, events: trio.MemorySendChannel[Event]
) -> None:
    reads: dict[AbsolutePath, type[AnswerRead] | type[RunningRead]] = {
        keys.answer_state: AnswerRead,
        keys.running: RunningRead,
    }
    while True:
        changed = (await watch.get()).path
        for path, read in reads.items():
            # The directory's own event comes first and stands for all that is below.
            if changed in (path, keys.device_model):
                await events.send(read(await client.read_or_none(path)))


async def _watch_process(
    client: Client,
    keys: HandoffKeys,
    process: RunningDeviceModel,
    events: trio.MemorySendChannel[Event],
) -> None:
    how = await process.wait()
    # Its last words were written before it ended, and they say more than its exit status.
    with suppress(XenstoreError):
        await events.send(AnswerRead(await client.read_or_none(keys.answer_state)))
    await events.send(DeviceModelEnded(how))
