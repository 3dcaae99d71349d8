"""The toolstack's side of one attempt: follow the answers, believe none of them unchecked.

A guest is let go only when, for this generation, the report was read and fits guest RAM, the
machine was prepared with it, the state is `ready` and libxl's node says `running`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handoff.addresses import GpaRange
from handoff.carriers import base64_chunks
from handoff.errors import (
    DescriptorRefused,
    DeviceModelDied,
    DigestMismatch,
    HandoffError,
    PeerMisbehaved,
    ReportedFailure,
    StageTimeout,
    XenstoreUnavailable,
)
from handoff.report import Report, check_report, decode_report
from handoff.stages import ORDER, Stage, may_read
from handoff.store_values import RUNNING, Answer, decode_error

# Events.


@dataclass(frozen=True, slots=True)
class AnswerRead:
    """The answer's state was read, at the start or after its watch fired."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class ErrorRead:
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ReportRead:
    chunks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RunningRead:
    """libxl's readiness node was read."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class MachinePrepared:
    """The machine is there, paused, and has the BIOS extension."""


@dataclass(frozen=True, slots=True)
class DeviceModelEnded:
    how: str
    """`exit status 1`, `killed by SIGKILL`"""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    seconds: float
    last_words: str = ""
    """of the device model"""


@dataclass(frozen=True, slots=True)
class Lost:
    """The shell cannot go on listening: xenstored is gone, or S floods us."""

    error: HandoffError


Event = (
    AnswerRead
    | ErrorRead
    | ReportRead
    | RunningRead
    | MachinePrepared
    | DeviceModelEnded
    | DeadlinePassed
    | Lost
)


# Commands.


@dataclass(frozen=True, slots=True)
class Reached:
    """A stage that was not reached before; the wait for the next one begins."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class ReadError:
    """Read the error node; answer with ErrorRead."""


@dataclass(frozen=True, slots=True)
class ReadReport:
    """Read the report's chunks in one transaction; answer with ReportRead."""


@dataclass(frozen=True, slots=True)
class PrepareMachine:
    """Start the machine paused, with the ROM this checked report names; answer with
    MachinePrepared."""

    report: Report


@dataclass(frozen=True, slots=True)
class Unpause:
    """Let the guest go: all conditions hold."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This attempt is over: withdraw the offer and reap the device model."""

    error: HandoffError


Command = Reached | ReadError | ReadReport | PrepareMachine | Unpause | GiveUp


class ToolstackSide:
    """Follows attempt `generation` of a guest whose RAM is `ram`."""

    def __init__(self, generation: int, ram: Sequence[GpaRange]) -> None:
        self.generation = generation
        self.stage: Stage | None = None
        self.report: Report | None = None
        self.over = False
        self._ram = tuple(ram)
        self._reading_report = False
        self._prepared = False
        self._running = False

    @property
    def awaited(self) -> str:
        """What has not happened yet, for the message when a deadline passes."""
        if self.stage is None:
            return "the device model to discover the offer (direct-boot/state)"
        if self.stage is Stage.READY:
            if not self._prepared:
                return "the machine to start"
            return "the device model to write 'running' (device-model/T/state)"
        if self.stage is Stage.FAILED:
            return "the device model's reason (direct-boot/error)"
        following = ORDER[ORDER.index(self.stage) + 1]
        return f"the device model to be {following.value} (direct-boot/state)"

    def handle(self, event: Event) -> tuple[Command, ...]:
        """What to do about `event`, in this order. After Unpause or GiveUp: nothing."""
        if self.over:
            return ()
        try:
            return self._handle(event)
        except HandoffError as error:
            return self._give_up(error)

    def _handle(self, event: Event) -> tuple[Command, ...]:
        match event:
            case AnswerRead(value):
                return () if value is None else self._answer(Answer.decode(value))
            case ErrorRead(value):
                if value is None:
                    raise PeerMisbehaved("the device model failed and gave no reason")
                raise ReportedFailure(decode_error(value))
            case ReportRead(chunks):
                return self._report(chunks)
            case RunningRead(value):
                self._running = value == RUNNING
                return self._unpause_if_all_holds()
            case MachinePrepared():
                assert self.report is not None, "no machine was asked for"
                self._prepared = True
                return self._unpause_if_all_holds()
            case DeviceModelEnded(how):
                raise DeviceModelDied(
                    f"the device model ended ({how}) while the toolstack waited for "
                    f"{self.awaited}: --verbose shows its log"
                )
            case Lost(error):
                raise error
            case DeadlinePassed(seconds, last_words):
                raise StageTimeout(self.awaited, seconds, last_words=last_words)

    def _answer(self, answer: Answer) -> tuple[Command, ...]:
        if answer.generation != self.generation:
            raise PeerMisbehaved(
                f"the device model answers attempt {answer.generation}, "
                f"this is attempt {self.generation}"
            )
        if not may_read(answer.stage, self.stage):
            was = self.stage.value if self.stage is not None else "nothing"
            raise PeerMisbehaved(f"the device model went from {was} to {answer.stage.value}")
        if answer.stage is self.stage:
            return ()
        if answer.stage is Stage.FAILED:
            self.stage = answer.stage
            return (Reached(answer.stage), ReadError())
        # xenstored merges events that wait: stages in between were reached, too.
        done = 0 if self.stage is None else ORDER.index(self.stage) + 1
        commands: list[Command] = [
            Reached(stage) for stage in ORDER[done : ORDER.index(answer.stage) + 1]
        ]
        self.stage = answer.stage
        if answer.stage in (Stage.INSERTED, Stage.READY) and not self._reading_report:
            self._reading_report = True
            commands.append(ReadReport())
        return (*commands, *self._unpause_if_all_holds())

    def _report(self, chunks: tuple[bytes, ...]) -> tuple[Command, ...]:
        if not self._reading_report or self.report is not None:
            return ()  # one machine an attempt
        try:
            generation, report = decode_report(base64_chunks.join(chunks, "report"))
        except DescriptorRefused as error:
            raise PeerMisbehaved(f"the device model's report is malformed: {error}") from error
        if generation != self.generation:
            raise PeerMisbehaved(
                f"the device model's report is of attempt {generation}, "
                f"this is attempt {self.generation}"
            )
        check_report(report, self._ram)
        self.report = report
        return (PrepareMachine(report),)

    def _unpause_if_all_holds(self) -> tuple[Command, ...]:
        # A machine is prepared only with a report that was checked.
        if not (self.stage is Stage.READY and self._prepared and self._running):
            return ()
        self.over = True
        return (Unpause(),)

    def _give_up(self, error: HandoffError) -> tuple[Command, ...]:
        self.over = True
        return (GiveUp(error),)


RETRIED = (
    DeviceModelDied,
    StageTimeout,
    DigestMismatch,
    PeerMisbehaved,
    XenstoreUnavailable,
)
"""What another stub domain may not run into again."""


def worth_retrying(error: HandoffError) -> bool:
    """Whether a new device model could do better: bad images and bad settings stay bad."""
    if isinstance(error, ReportedFailure):
        return issubclass(error.error, RETRIED)
    return isinstance(error, RETRIED)
