"""What S does next: the machine of the device model in a model of its shell, `devicemodel/run.py`.

A command that takes several writes takes several steps here, and S may die between any two.
"""

from __future__ import annotations

from collections.abc import Iterator

from handoff.conversation import devicemodel_side as dm
from handoff.errors import DescriptorRefused, DigestMismatch, HandoffError, PlacementError
from handoff.stages import Stage, may_write
from handoff.store_values import RUNNING, Answer, Offer, OfferState
from tests.protocol_explorer.explorer import Label, Step, Violation
from tests.protocol_explorer.machines import Machines
from tests.protocol_explorer.state import REPORT, TORN, Ram, State, Stubdom, report_chunks

OFFER = dm.OfferNodes(b"1", b"cmdline", (), None, None)
DAMAGED = DigestMismatch("kernel", "where it was put", bytes(32), bytes(32))
NO_ROOM = PlacementError("no room")
OTHER_FRAME = DescriptorRefused("frame.generation", "is of another attempt")
WRITES_RAM = (Stage.MOVED, Stage.INSERTED)


class StubdomShell:
    """Steps of S. One S serves one offer."""

    def __init__(self, side: type[dm.DeviceModelSide], *, deadlines: bool = True) -> None:
        self._side = side
        self._deadlines = deadlines
        self.machines: Machines[dm.DeviceModelSide] = Machines()

    def started(self) -> Stubdom:
        return Stubdom(self.machines.number(self._side()))

    def steps(self, state: State) -> Iterator[Step[State]]:
        s = state.s
        if not s.alive:
            return
        if s.about_to_run:
            yield Label("S", "writes device-model/T/state =", "running"), lambda: self._run(state)
            return
        command = s.todo[0] if s.todo else None
        before_stage = isinstance(command, dm.RunStage) and not s.looked
        if (command is None and s.watch) or before_stage:
            yield Label("S", "reads the offer:", state.nodes.offer), lambda: self._look(state)
        elif command is not None:
            label = Label("S", "does the rest of" if s.half else "does", command)
            yield label, lambda: self._do(state, command)
            if isinstance(command, dm.Discover | dm.RunStage) and state.budget.failures:
                budget = state.budget._replace(failures=state.budget.failures - 1)
                poorer = state._replace(budget=budget)
                label = Label("S", "fails at", command)
                yield label, lambda: self._handle(poorer, dm.StageFailed(NO_ROOM), pop=True)
        waits = self.machines[s.side].phase is dm.Phase.WAITING and command is None
        if self._deadlines and waits:
            label = Label("S", "gives up waiting for an offer", is_deadline=True)
            yield label, lambda: gone(state)

    def _look(self, state: State) -> State:
        s, offer = state.s, state.nodes.offer
        generation = self.machines[s.side].generation
        if generation is not None:
            taken = offer != OfferState(generation, Offer.PUBLISHED).encode()
            s = s._replace(taken_back=s.taken_back or taken)
        s = s._replace(looked=bool(s.todo), watch=s.watch if s.todo else False)
        after = self._handle(state._replace(s=s), dm.OfferStateRead(offer))
        if dm.ReadOffer() in after.s.todo and not (offer or b"").endswith(b" published"):
            raise Violation(f"S takes {offer!r} for an offer")
        return after

    def _handle(self, state: State, event: dm.Event, *, pop: bool = False) -> State:
        s = state.s
        side, commands = self.machines.handle(s.side, event)
        todo = s.todo[1:] if pop else s.todo
        if self.machines[side].phase is dm.Phase.ENDED:
            todo = ()
        # Why it leaves is in the log; here every way to leave is the same.
        added = tuple(dm.Leave(None) if isinstance(c, dm.Leave) else c for c in commands)
        looked = s.looked and not pop
        s = s._replace(side=side, todo=(*todo, *added), looked=looked, half=False)
        return state._replace(s=s)

    def _do(self, state: State, command: dm.Command) -> State:
        if state.s.taken_back and not isinstance(command, dm.Leave):
            raise Violation(f"S goes on with {command} after it read that its offer is no more")
        match command:
            case dm.ReadOffer():
                return self._handle(state, dm.OfferRead(OFFER), pop=True)
            case dm.Discover(generation):
                # The frame tells of which attempt it is.
                right = generation == state.dom0.generation
                event = dm.StageDone(Stage.DISCOVERED) if right else dm.StageFailed(OTHER_FRAME)
                return self._handle(state, event, pop=True)
            case dm.RunStage(stage):
                return self._stage(state, stage)
            case dm.Tell():
                return self._tell(state, command)
            case dm.Leave():
                return gone(state)

    def _stage(self, state: State, stage: Stage) -> State:
        generation = self.machines[state.s.side].generation
        assert generation is not None
        if stage in WRITES_RAM and not state.s.half:
            return state._replace(ram=self._half(stage, state.ram), s=state.s._replace(half=True))
        ram, problem = self._done(stage, state.ram, generation)
        event = dm.StageDone(stage) if problem is None else dm.StageFailed(problem)
        return self._handle(state._replace(ram=ram), event, pop=True)

    def _tell(self, state: State, tell: dm.Tell) -> State:
        s, nodes = state.s, state.nodes
        offered = nodes.offer == OfferState(tell.generation, Offer.PUBLISHED).encode()
        if tell.stage is Stage.READY and not offered:
            return gone(state)
        if not may_write(tell.stage, s.told):
            raise Violation(f"S tells {tell.stage.value} after {s.told}")
        if (tell.error is not None) != (tell.stage is Stage.FAILED):
            raise Violation(f"S tells {tell.stage.value} with error {tell.error}")
        if tell.stage is Stage.READY and not offered:
            raise Violation(f"S is ready for {nodes.offer!r}")
        nodes = nodes._replace(answer=Answer(tell.generation, tell.stage).encode())
        if tell.error is not None:
            nodes = nodes._replace(error=tell.error.encode())
        if tell.stage is Stage.INSERTED:
            nodes = nodes._replace(report=report_chunks(REPORT, tell.generation))
        runs = tell.stage is Stage.READY
        s = s._replace(todo=s.todo[1:], told=tell.stage, about_to_run=runs)
        return state._replace(nodes=nodes, s=s, dom0=state.dom0._replace(answer_watch=True))

    def _run(self, state: State) -> State:
        return state._replace(
            nodes=state.nodes._replace(running=RUNNING),
            s=state.s._replace(about_to_run=False),
            dom0=state.dom0._replace(running_watch=True),
        )

    def _half(self, stage: Stage, ram: Ram) -> Ram:
        """RAM in the middle of a stage that writes to it; torn staging stays torn where it goes."""
        if stage is Stage.INSERTED:
            return ram._replace(rom=TORN)
        # What is moved cannot be moved again; that it was whole shows at its new place.
        return ram._replace(staged=TORN if ram.staged == TORN else 0, placed=TORN)

    def _done(self, stage: Stage, ram: Ram, generation: int) -> tuple[Ram, HandoffError | None]:
        """RAM after a stage, and why it failed."""
        match stage:
            case Stage.VERIFIED:
                return ram, None if ram.staged == 1 else DAMAGED
            case Stage.MOVED:
                return ram._replace(
                    staged=0, placed=TORN if ram.staged == TORN else generation
                ), None
            case Stage.INSERTED:
                return ram._replace(rom=generation), None
            case Stage.READY:
                if (ram.placed, ram.rom) != (generation, generation):
                    return ram, DAMAGED
                return ram._replace(checked=generation), None
            case _:
                return ram, None


def gone(state: State) -> State:
    """S has ended; what it wrote stays."""
    return state._replace(s=Stubdom(-1, alive=False, watch=False))
