"""The device model's side: wait for an offer, do the stages one by one, tell of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from handoff.addresses import Gpa
from handoff.errors import DescriptorRefused, HandoffError, Withdrawn
from handoff.stages import Stage, may_write, next_stage
from handoff.store_values import (
    Carrier,
    Offer,
    OfferState,
    decode_carrier,
    decode_gpa,
    decode_size,
    decode_version,
)


@dataclass(frozen=True, slots=True)
class OfferNodes:
    """What lies below `direct-boot/`, read in one transaction; None: no such node."""

    version: bytes | None
    carrier: bytes | None
    chunks: tuple[bytes, ...]
    frame_gpa: bytes | None
    frame_size: bytes | None


# Events.


@dataclass(frozen=True, slots=True)
class OfferStateRead:
    """`direct-boot/state` was read, at the start or after its watch fired."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class OfferRead:
    nodes: OfferNodes


@dataclass(frozen=True, slots=True)
class StageDone:
    stage: Stage


@dataclass(frozen=True, slots=True)
class StageFailed:
    error: HandoffError


Event = OfferStateRead | OfferRead | StageDone | StageFailed


# Commands.


@dataclass(frozen=True, slots=True)
class ReadOffer:
    """Read OfferNodes in one transaction; answer with OfferRead."""


@dataclass(frozen=True, slots=True)
class FrameInXenstore:
    chunks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FrameInMemory:
    at: Gpa
    size: int


@dataclass(frozen=True, slots=True)
class FrameInArguments:
    pass


FrameSource = FrameInXenstore | FrameInMemory | FrameInArguments


@dataclass(frozen=True, slots=True)
class Discover:
    """Fetch the frame and do the first stage; answer with StageDone or StageFailed."""

    generation: int
    source: FrameSource


@dataclass(frozen=True, slots=True)
class RunStage:
    """Do one later stage; answer with StageDone or StageFailed."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class Tell:
    """Write, in one transaction: the error line if there is one, the report when the stage is
    INSERTED, and last the answer's state. Then, when READY, libxl's `running`."""

    generation: int
    stage: Stage
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing more will be done; the process ends. error: None if that is as it should be."""

    error: HandoffError | None


Command = ReadOffer | Discover | RunStage | Tell | Leave


class Phase(Enum):
    WAITING = "waiting for an offer"
    READING = "reading the offer"
    WORKING = "doing the stages"
    SERVING = "ready, the guest may run"
    ENDED = "ended"


class DeviceModelSide:
    """One device model serves one offer: a retry is a new stub domain."""

    def __init__(self) -> None:
        self.phase = Phase.WAITING
        self.generation: int | None = None
        self.done: Stage | None = None
        """the last stage that was told"""

    def handle(self, event: Event) -> tuple[Command, ...]:
        """What to do about `event`, in this order. After Leave nothing is done any more."""
        if self.phase is Phase.ENDED:
            return ()
        match event:
            case OfferStateRead(value):
                return self._offer_state(value)
            case OfferRead(nodes):
                return self._offer(nodes)
            case StageDone(stage):
                return self._stage_done(stage)
            case StageFailed(error):
                return self._fail(error)

    def _offer_state(self, value: bytes | None) -> tuple[Command, ...]:
        if value is None:
            # Removed by a tear-down, or not written yet.
            return () if self.phase is Phase.WAITING else self._withdrawn("the offer was removed")
        try:
            state = OfferState.decode(value)
        except DescriptorRefused as error:
            return self._end(error)
        if self.phase is Phase.WAITING:
            if state.offer is Offer.WITHDRAWN:
                return ()
            self.generation = state.generation
            self.phase = Phase.READING
            return (ReadOffer(),)
        if state == OfferState(self._generation, Offer.PUBLISHED):
            return ()  # a watch fires without a change, too
        return self._withdrawn(f"the offer's state became {value.decode('ascii')!r}")

    def _offer(self, nodes: OfferNodes) -> tuple[Command, ...]:
        if self.phase is not Phase.READING:
            return ()
        try:
            source = frame_source(nodes)
        except DescriptorRefused as error:
            return self._fail(error)
        self.phase = Phase.WORKING
        return (Discover(self._generation, source),)

    def _stage_done(self, stage: Stage) -> tuple[Command, ...]:
        assert self.phase is Phase.WORKING, self.phase
        assert stage is not Stage.FAILED
        assert may_write(stage, self.done), f"{stage} after {self.done}"
        self.done = stage
        tell = Tell(self._generation, stage)
        following = next_stage(stage)
        if following is None:
            self.phase = Phase.SERVING
            return (tell,)
        return (tell, RunStage(following))

    def _fail(self, error: HandoffError) -> tuple[Command, ...]:
        assert self.phase in (Phase.READING, Phase.WORKING), self.phase
        self.phase = Phase.ENDED
        return (Tell(self._generation, Stage.FAILED, error.line()), Leave(error))

    def _withdrawn(self, why: str) -> tuple[Command, ...]:
        if self.phase is Phase.SERVING:
            return self._end(None)
        return self._end(Withdrawn(f"{why}: attempt {self._generation} is over"))

    def _end(self, error: HandoffError | None) -> tuple[Command, ...]:
        self.phase = Phase.ENDED
        return (Leave(error),)

    @property
    def _generation(self) -> int:
        assert self.generation is not None
        return self.generation


def frame_source(nodes: OfferNodes) -> FrameSource:
    """Where the frame is. Raises: DescriptorRefused naming the node that is wrong."""
    decode_version(_present(nodes.version, "version"))
    match decode_carrier(_present(nodes.carrier, "carrier")):
        case Carrier.XENSTORE:
            if not nodes.chunks:
                raise DescriptorRefused("direct-boot/frame", "is missing")
            return FrameInXenstore(nodes.chunks)
        case Carrier.MEMORY:
            at = decode_gpa(_present(nodes.frame_gpa, "frame-gpa"))
            return FrameInMemory(at, decode_size(_present(nodes.frame_size, "frame-size")))
        case Carrier.CMDLINE:
            return FrameInArguments()


def _present(value: bytes | None, name: str) -> bytes:
    if value is None:
        raise DescriptorRefused(f"direct-boot/{name}", "is missing")
    return value
