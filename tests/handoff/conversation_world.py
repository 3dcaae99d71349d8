"""Both sides of the handoff around a fake store, moved one small step at a time.

Nothing happens by itself: a test decides who acts next and what goes wrong, and whatever the
toolstack does is checked here against what it was really told.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from handoff.addresses import Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.conversation import devicemodel_side as dm
from handoff.conversation import toolstack_side as ts
from handoff.errors import HandoffError, PlacementError
from handoff.report import PlacedRange, Report, When, check_report, encode_report
from handoff.stages import Stage, may_write

GENERATION = 7
RAM = (GpaRange(Gpa(0), 0x4000000),)
REPORT = Report(
    "linux",
    (PlacedRange("kernel", GpaRange(Gpa(0x200000), 0x1000), When.NOW, "relocatable"),),
    (),
    GpaRange(Gpa(0xC8000), 0xA00),
    0,
)
OUTSIDE = replace(REPORT, rom=GpaRange(Gpa(0x4000000), 0xA00))
RUNNING = b"running"


def chunks(report: Report, generation: int = GENERATION) -> tuple[bytes, ...]:
    return tuple(c.encode() for c in base64_chunks.split(encode_report(report, generation)))


class World:
    """One attempt: the store's nodes, a device model, a toolstack, and what happened."""

    def __init__(self) -> None:
        self.offer: bytes | None = None
        self.answer: bytes | None = None
        self.error: bytes | None = None
        self.report: tuple[bytes, ...] = ()
        self.running: bytes | None = None

        self.devicemodel = dm.DeviceModelSide()
        self.devicemodel_todo: deque[dm.Command] = deque()
        self.alive = True
        self.about_to_run = False
        self.told: Stage | None = None

        self.toolstack = ts.ToolstackSide(GENERATION, RAM)
        self.toolstack_todo: deque[ts.Command] = deque()
        self.death_noticed = False
        self.saw_ready = False
        self.saw_running = False
        self.prepared: Report | None = None

        self.unpaused = False
        self.given_up: HandoffError | None = None

    # What the toolstack does.

    def publish(self) -> None:
        self.offer = b"%d published" % GENERATION

    def withdraw(self) -> None:
        self.offer = b"%d withdrawn" % GENERATION

    def toolstack_reads_answer(self) -> None:
        self.saw_ready |= self.answer == b"%d ready" % GENERATION
        self.tell_toolstack(ts.AnswerRead(self.answer))

    def toolstack_reads_running(self) -> None:
        self.saw_running = self.running == RUNNING
        self.tell_toolstack(ts.RunningRead(self.running))

    def deadline_passes(self) -> None:
        self.tell_toolstack(ts.DeadlinePassed(30))

    def death_is_noticed(self) -> None:
        """As the shell does: the last words first."""
        assert not self.alive
        self.death_noticed = True
        self.toolstack_reads_answer()
        while self.toolstack_todo:
            self.toolstack_works()
        self.tell_toolstack(ts.DeviceModelEnded("signal 9"))

    def tell_toolstack(self, event: ts.Event) -> None:
        assert not self.toolstack_todo, "the shell does all commands before the next event"
        was_over = self.toolstack.over
        commands = self.toolstack.handle(event)
        assert not (was_over and commands), "after the end nothing is done"
        self.toolstack_todo.extend(commands)

    def toolstack_works(self) -> None:
        """Does one command."""
        command = self.toolstack_todo.popleft()
        match command:
            case ts.ReadError():
                answer: ts.Event | None = ts.ErrorRead(self.error)
            case ts.ReadReport():
                answer = ts.ReportRead(self.report)
            case ts.PrepareMachine(report):
                assert self.prepared is None, "one machine an attempt"
                self.prepared = report
                answer = ts.MachinePrepared()
            case ts.Unpause():
                self.check_unpause()
                answer = None
            case ts.GiveUp(error):
                assert not self.unpaused
                self.given_up = error
                self.withdraw()
                answer = None
            case ts.Reached():
                answer = None
        if answer is not None:
            self.toolstack_todo.extend(self.toolstack.handle(answer))

    def check_unpause(self) -> None:
        assert self.given_up is None
        assert not self.unpaused
        assert self.saw_ready
        assert self.saw_running
        assert self.prepared is not None
        check_report(self.prepared, RAM)
        self.unpaused = True

    # What the device model does.

    def devicemodel_looks(self) -> None:
        """Its watch fired, with or without a change; it reads the offer's state."""
        before = self.devicemodel.phase
        commands = self.devicemodel.handle(dm.OfferStateRead(self.offer))
        if self.devicemodel.phase is dm.Phase.ENDED and before is not dm.Phase.ENDED:
            self.devicemodel_todo.clear()
            self.about_to_run = False
        self.devicemodel_todo.extend(commands)

    def devicemodel_works(self, *, fails: bool = False) -> None:
        """Does one command, or the second write of `ready`."""
        if self.about_to_run:
            self.about_to_run = False
            self.running = RUNNING
            return
        command = self.devicemodel_todo.popleft()
        event: dm.Event
        match command:
            case dm.ReadOffer():
                event = dm.OfferRead(dm.OfferNodes(b"1", b"cmdline", (), None, None))
            case dm.Discover(generation):
                assert generation == self.devicemodel.generation
                event = dm.StageDone(Stage.DISCOVERED)
            case dm.RunStage(stage):
                event = dm.StageDone(stage)
            case dm.Tell():
                self.write(command)
                return
            case dm.Leave():
                self.alive = False
                return
        if fails:
            event = dm.StageFailed(PlacementError("no room"))
        self.devicemodel_todo.extend(self.devicemodel.handle(event))

    def write(self, tell: dm.Tell) -> None:
        assert tell.generation == self.devicemodel.generation
        assert may_write(tell.stage, self.told)
        assert (tell.error is not None) == (tell.stage is Stage.FAILED)
        ended = self.devicemodel.phase is dm.Phase.ENDED
        assert tell.stage is Stage.FAILED or not ended, "nothing is told after a withdrawal"
        self.told = tell.stage
        if tell.error is not None:
            self.error = tell.error.encode()
        if tell.stage is Stage.INSERTED:
            self.report = chunks(REPORT, tell.generation)
        self.answer = f"{tell.generation} {tell.stage.value}".encode()
        self.about_to_run = tell.stage is Stage.READY

    @property
    def devicemodel_can_work(self) -> bool:
        return self.alive and (self.about_to_run or bool(self.devicemodel_todo))

    def kill(self) -> None:
        self.alive = False

    # Both.

    @property
    def over(self) -> bool:
        return self.unpaused or self.given_up is not None

    def step(self, number: int) -> None:
        """What a fair scheduler lets happen in its turn `number`."""
        match number % 5:
            case 0 if self.alive:
                self.devicemodel_looks()
            case 1 if self.devicemodel_can_work:
                self.devicemodel_works()
            case 2 if self.toolstack_todo:
                self.toolstack_works()
            case 3 if not self.toolstack_todo:
                self.toolstack_reads_answer()
            case 4 if not self.toolstack_todo:
                self.toolstack_reads_running()
            case _ if not self.alive and not self.death_noticed and not self.toolstack_todo:
                self.death_is_noticed()

    def finish(self, start: int = 0) -> None:
        """Runs on fairly; a deadline ends what does not end by itself."""
        for number in range(start, start + 300):
            if self.over:
                break
            self.step(number)
        else:
            while self.toolstack_todo:
                self.toolstack_works()
            self.deadline_passes()
        while self.toolstack_todo:
            self.toolstack_works()
        assert self.over, "an attempt ends"
        assert self.unpaused != (self.given_up is not None)
        if self.alive and not self.unpaused:
            # The offer is withdrawn now: the device model has to go, without another word.
            self.withdraw()
            told = self.told
            self.devicemodel_looks()
            while self.devicemodel_can_work:
                self.devicemodel_works()
            assert self.devicemodel.phase in (dm.Phase.ENDED, dm.Phase.WAITING)
            assert self.told in (told, Stage.FAILED)

    @property
    def outcome(self) -> str:
        return "unpaused" if self.unpaused else type(self.given_up).__name__
