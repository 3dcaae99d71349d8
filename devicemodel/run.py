"""The device model's shell: xenstore on one side, the stages on the other.

It has no deadline of its own for the whole: the toolstack keeps the time. It ends when its
offer is withdrawn, when it failed and said so, or when its xenstore connection goes.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from devicemodel.discover import Native
from devicemodel.fw_cfg.option_roms import OptionRoms
from devicemodel.ioreq_service import serve_ioreqs
from devicemodel.stage_work import StageWork
from handoff.carriers import arguments, base64_chunks, memory
from handoff.conversation.devicemodel_side import (
    Command,
    DeviceModelSide,
    Discover,
    Event,
    FrameInArguments,
    FrameInMemory,
    FrameInXenstore,
    FrameSource,
    Leave,
    OfferNodes,
    OfferRead,
    OfferStateRead,
    Phase,
    ReadOffer,
    RunStage,
    StageDone,
    StageFailed,
    Tell,
)
from handoff.errors import (
    DescriptorRefused,
    HandoffError,
    StageTimeout,
    Withdrawn,
    XenstoreUnavailable,
)
from handoff.guest_ram import GuestRam
from handoff.keys import HandoffKeys, numbered, numbered_nodes
from handoff.report import encode_report
from handoff.single_error import single_error
from handoff.stages import Stage
from handoff.store_values import RUNNING, Answer, Offer, OfferState
from xenstore_sim.client import Client, Transaction, Watch
from xenstore_sim.wire.errors import RequestRefused, XenstoreError
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId
from xenstore_sim.wire.ops import Errno

Log = Callable[[str], None]

ANSWER_S = 30.0
"""Longest wait for xenstored to answer what one command asks of it. Stages are no waits: they
run to their end between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a device model starts with."""

    target: DomId
    ram: GuestRam
    frame_arguments: Sequence[str]
    """values of -direct-boot-frame, empty unless the carrier is the argument list"""
    native: Native | None
    offer_timeout_s: float
    """longest wait for an offer, seconds"""
    roms: OptionRoms | None = None
    """QEMU's option ROMs, if they are to start the guest"""
    ioreqs: socket.socket | None = None
    """ioreq channel to the guest's machine, if it has one"""


async def serve(client: Client, setup: Setup, log: Log) -> None:
    """Serves one offer; returns when the guest's toolstack is done with this device model.

    Raises: HandoffError for whatever made it end before the guest could run.
    """
    try:
        with trio.fail_after(ANSWER_S):
            keys = await _own_keys(client, setup)
        async with client.watch(keys.offer_state) as watch:
            with single_error():
                async with trio.open_nursery() as nursery:
                    await _Server(client, setup, keys, log, nursery).follow(watch)
                    nursery.cancel_scope.cancel()
    except XenstoreError as error:
        raise XenstoreUnavailable(f"xenstore connection lost: {error}") from error
    except trio.TooSlowError as error:
        raise _silent() from error


def _silent() -> XenstoreUnavailable:
    return XenstoreUnavailable(f"xenstored did not answer within {ANSWER_S:g} s")


async def _own_keys(client: Client, setup: Setup) -> HandoffKeys:
    """The keys of this stub domain. Raises: XenstoreUnavailable if libxl's nodes do not fit."""
    domid = await client.read_or_none("domid")
    if domid == b"0":
        # A process of dom0: who may be its target, the hypervisor does not ask.
        return HandoffKeys(DOM0, setup.target)
    target = await client.read_or_none("target")
    if domid is None or not domid.isdigit() or target != str(setup.target).encode():
        raise XenstoreUnavailable(
            f"the nodes domid ({domid!r}) and target ({target!r}) do not make this domain the "
            f"stub domain of domain {setup.target}: start it as its device model"
        )
    return HandoffKeys(DomId(int(domid)), setup.target)


class _Server:
    def __init__(
        self, client: Client, setup: Setup, keys: HandoffKeys, log: Log, beside: trio.Nursery
    ) -> None:
        """beside: where the devices are served once the guest may run."""
        self._beside = beside
        self._client = client
        self._setup = setup
        self._keys = keys
        self._log = log
        self._side = DeviceModelSide()
        self._work = StageWork(setup.ram, setup.native, setup.roms)

    async def follow(self, watch: Watch) -> None:
        """Serves the offer to its end. Raises: XenstoreUnavailable, and what ended it."""
        try:
            await self._follow(watch)
        except trio.TooSlowError as error:
            raise _silent() from error

    async def _follow(self, watch: Watch) -> None:
        """Follows commands as they come; before each stage it looks for a withdrawal."""
        todo: deque[Command] = deque()
        while True:
            if not todo:
                await self._wait(watch)
            if not todo or isinstance(todo[0], RunStage):
                with trio.fail_after(ANSWER_S):
                    value = await self._client.read_or_none(self._keys.offer_state)
                commands = self._side.handle(OfferStateRead(value))
                if self._side.phase is Phase.ENDED:
                    todo.clear()
                todo.extend(commands)
            if todo:
                command = todo.popleft()
                if isinstance(command, Leave):
                    if command.error is not None:
                        raise command.error
                    return
                with trio.fail_after(ANSWER_S):
                    event = await self._do(command)
                if event is not None:
                    todo.extend(self._side.handle(event))

    async def _wait(self, watch: Watch) -> None:
        patience = self._patience()
        with trio.move_on_after(patience) as scope:
            await watch.get()
        if scope.cancelled_caught:
            raise StageTimeout(
                f"an offer of the toolstack ({self._keys.offer_state})", patience, "--offer-timeout"
            )

    def _patience(self) -> float:
        serving = self._side.phase is Phase.SERVING
        return float("inf") if serving else self._setup.offer_timeout_s

    async def _do(self, command: Command) -> Event | None:
        match command:
            case ReadOffer():
                try:
                    return OfferRead(await self._client.transaction(self._read_offer))
                except DescriptorRefused as error:
                    return StageFailed(error)
            case Discover(generation, source):
                return self._attempt(Stage.DISCOVERED, lambda: self._discover(generation, source))
            case RunStage(stage):
                return self._attempt(stage, lambda: self._work.run(stage))
            case Tell():
                await self._tell(command)
                return None
            case Leave():
                raise AssertionError("handled by run")

    def _attempt(self, stage: Stage, work: Callable[[], None]) -> Event:
        try:
            work()
        except HandoffError as error:
            return StageFailed(error)
        return StageDone(stage)

    def _discover(self, generation: int, source: FrameSource) -> None:
        match source:
            case FrameInXenstore(chunks):
                frame = base64_chunks.join(chunks, "direct-boot/frame")
            case FrameInMemory(at, size):
                frame = memory.fetch(self._setup.ram, at, size)
            case FrameInArguments():
                frame = arguments.from_chunks(self._setup.frame_arguments)
        self._work.discover(frame, generation)

    async def _read_offer(self, transaction: Transaction) -> OfferNodes:
        keys = self._keys
        chunks = await _children(transaction, keys.frame)
        return OfferNodes(
            version=await transaction.read_or_none(keys.version),
            carrier=await transaction.read_or_none(keys.carrier),
            chunks=tuple([await transaction.read(node) for node in chunks]),
            frame_gpa=await transaction.read_or_none(keys.frame_gpa),
            frame_size=await transaction.read_or_none(keys.frame_size),
        )

    async def _tell(self, tell: Tell) -> None:
        keys = self._keys
        chunks: tuple[str, ...] = ()
        if tell.stage is Stage.INSERTED:
            chunks = base64_chunks.split(encode_report(self._work.report(), tell.generation))

        answer = Answer(tell.generation, tell.stage).encode()

        async def write(transaction: Transaction) -> None:
            if tell.stage is Stage.READY:
                # Read here, a withdrawal at this very moment makes the transaction fail.
                await self._still_offered(transaction, tell.generation)
            if tell.error is not None:
                await transaction.write(keys.error, tell.error)
            for number, chunk in enumerate(chunks, 1):
                await transaction.write(numbered(keys.report, number), chunk)
            await transaction.write(keys.answer_state, answer)

        if tell.error is None and not chunks and tell.stage is not Stage.READY:
            await self._client.write(keys.answer_state, answer)
        else:
            await self._client.transaction(write)
        if tell.stage is Stage.READY:
            await self._client.write(keys.running, RUNNING)
            if self._setup.ioreqs is not None:
                self._beside.start_soon(serve_ioreqs, self._setup.ioreqs, self._work.devices())
        self._log(f"{tell.stage.value}" + (f": {tell.error}" if tell.error else ""))

    async def _still_offered(self, transaction: Transaction, generation: int) -> None:
        state = await transaction.read_or_none(self._keys.offer_state)
        if state != OfferState(generation, Offer.PUBLISHED).encode():
            raise Withdrawn(f"the offer of attempt {generation} was taken back")


async def _children(transaction: Transaction, directory: AbsolutePath) -> tuple[AbsolutePath, ...]:
    try:
        names = await transaction.directory(directory)
    except RequestRefused as refused:
        if refused.errno is Errno.ENOENT:
            return ()
        raise
    return numbered_nodes(directory, names)
