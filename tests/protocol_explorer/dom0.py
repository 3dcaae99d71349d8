"""What dom0 does next: the toolstack's machine in a model of its shell.

The shell is `toolstack/attempt.py` for one attempt, `toolstack/create.py` around it.
"""

from __future__ import annotations

from collections.abc import Iterator

from handoff.conversation import toolstack_side as ts
from handoff.errors import HandoffError, XenstoreUnavailable
from handoff.report import check_report
from handoff.stages import Stage
from handoff.store_values import RUNNING, Answer, Offer, OfferState
from tests.protocol_explorer.explorer import Label, Step, Violation
from tests.protocol_explorer.machines import Machines
from tests.protocol_explorer.state import RAM_OF_T, REPORT, Dom0, Nodes, Phase, State, report_chunks
from tests.protocol_explorer.stubdom import StubdomShell, gone

QUEUE_BOUND = 2
"""Events that were read and wait; sixteen in the shell, where more of them are no more kinds."""
PASSED = ts.DeadlinePassed(30)
ENDED = ts.DeviceModelEnded("killed")
LOST = XenstoreUnavailable("xenstore connection lost")


class Dom0Shell:
    """Steps of dom0."""

    def __init__(
        self,
        stubdoms: StubdomShell,
        side: type[ts.ToolstackSide],
        *,
        tries: int = 1,
        deadlines: bool = True,
        nodes_stay: bool = False,
    ) -> None:
        """nodes_stay: S's nodes of one attempt are still there in the next one, as if its domid
        had been given again and the removal had failed."""
        self._stubdoms = stubdoms
        self._side = side
        self._tries = tries
        self._deadlines = deadlines
        self._nodes_stay = nodes_stay
        self.machines: Machines[ts.ToolstackSide] = Machines()

    def steps(self, state: State) -> Iterator[Step[State]]:
        dom0 = state.dom0
        match dom0.phase:
            case Phase.LOADING:
                yield Label("dom0", "loads the images"), lambda: self._load(state)
            case Phase.PUBLISHING:
                label = Label("dom0", "publishes attempt", dom0.generation)
                yield label, lambda: self._publish(state)
            case Phase.FOLLOWING:
                yield from self._follow(state)
            case Phase.UNPAUSED:
                yield Label("the guest", "ends"), lambda: self._stop(state, "unpaused")
            case Phase.WITHDRAWING:
                label = Label("dom0", "withdraws attempt", dom0.generation)
                yield label, lambda: self._withdraw(state)
            case Phase.REAPING:
                yield (
                    Label("dom0", "kills and reaps S, removes its nodes"),
                    lambda: self._reap(state),
                )
            case Phase.DEAD:
                if state.s.alive:
                    yield Label("S", "dies with dom0"), lambda: gone(state)
            case Phase.OVER:
                pass

    def _load(self, state: State) -> State:
        ram = state.ram._replace(staged=1)
        return state._replace(ram=ram, dom0=state.dom0._replace(phase=Phase.PUBLISHING))

    def _publish(self, state: State) -> State:
        dom0 = state.dom0
        dom0 = dom0._replace(
            phase=Phase.FOLLOWING,
            side=self.machines.number(self._side(dom0.generation, RAM_OF_T)),
            # A watch fires when it is made.
            answer_watch=True,
            running_watch=True,
        )
        return self._offer(state._replace(dom0=dom0), Offer.PUBLISHED)

    def _offer(self, state: State, offer: Offer) -> State:
        value = OfferState(state.dom0.generation, offer).encode()
        s = state.s._replace(watch=True) if state.s.alive else state.s
        return state._replace(nodes=state.nodes._replace(offer=value), s=s)

    def _follow(self, state: State) -> Iterator[Step[State]]:
        dom0, nodes = state.dom0, state.nodes
        room = len(dom0.queue) < QUEUE_BOUND
        if dom0.answer_watch and room:
            label = Label("dom0", "its watch reads direct-boot/state:", nodes.answer)
            yield (
                label,
                lambda: self._queued(state, ts.AnswerRead(nodes.answer), answer_watch=False),
            )
        if dom0.running_watch and room:
            label = Label("dom0", "its watch reads device-model/T/state:", nodes.running)
            yield (
                label,
                lambda: self._queued(state, ts.RunningRead(nodes.running), running_watch=False),
            )
        if not state.s.alive and dom0.heard_end < 2:
            last: ts.Event = ENDED if dom0.heard_end else ts.AnswerRead(nodes.answer)
            label = Label("dom0", "S has ended; last words:", nodes.answer)
            heard = dom0.heard_end + 1
            yield label, lambda: self._queued(state, last, heard_end=heard)
        if dom0.todo:
            command = dom0.todo[0]
            yield self._label("does", command), lambda: self._do(state, command)
            if isinstance(command, ts.PrepareMachine) and state.budget.failures:
                budget = state.budget._replace(failures=state.budget.failures - 1)
                failed = state._replace(budget=budget)
                yield (
                    Label("dom0", "the machine does not start"),
                    lambda: self._stop(failed, "machine"),
                )
        elif dom0.queue:
            event = dom0.queue[0]
            yield Label("dom0", "handles", event), lambda: self._take(state, event)
        reads = not dom0.todo or isinstance(dom0.todo[0], ts.ReadError | ts.ReadReport)
        if self._deadlines and reads:
            label = Label("dom0", "its deadline passes", is_deadline=True)
            yield label, lambda: self.handle(state._replace(dom0=dom0._replace(todo=())), PASSED)

    def _label(self, does: str, command: ts.Command) -> Label:
        return Label("dom0", does, command, restarts_clock=isinstance(command, ts.Reached))

    def _queued(self, state: State, event: ts.Event, **changed: object) -> State:
        queue = (*state.dom0.queue, event)
        return state._replace(dom0=state.dom0._replace(queue=queue, **changed))  # type: ignore[arg-type]

    def _take(self, state: State, event: ts.Event) -> State:
        dom0 = state.dom0
        state = state._replace(dom0=dom0._replace(queue=dom0.queue[1:]))
        return self.handle(state, event)

    def handle(self, state: State, event: ts.Event) -> State:
        dom0 = state.dom0
        match event:
            case ts.AnswerRead(value) if value == Answer(dom0.generation, Stage.READY).encode():
                dom0 = dom0._replace(saw_ready=True)
            case ts.RunningRead(value):
                dom0 = dom0._replace(saw_running=value == RUNNING)
        side, commands = self.machines.handle(dom0.side, event)
        dom0 = dom0._replace(side=side)
        if ts.Reached(Stage.READY) in commands and not self._offered(state):
            raise Violation(f"`ready` is accepted for {state.nodes.offer!r}")
        for command in commands:
            if isinstance(command, ts.GiveUp):
                return self._give_up(state._replace(dom0=dom0), command.error)
        todo = (*dom0.todo, *commands)
        return state._replace(dom0=dom0._replace(todo=todo))

    def _do(self, state: State, command: ts.Command) -> State:
        dom0, nodes = state.dom0, state.nodes
        state = state._replace(dom0=dom0._replace(todo=dom0.todo[1:]))
        match command:
            case ts.Reached():
                return state
            case ts.ReadError():
                return self.handle(state, ts.ErrorRead(nodes.error))
            case ts.ReadReport():
                return self.handle(state, ts.ReportRead(nodes.report))
            case ts.PrepareMachine(report):
                if dom0.machine:
                    raise Violation("two machines are started in one attempt")
                try:
                    check_report(report, RAM_OF_T)
                except HandoffError as error:
                    raise Violation(
                        f"a machine is started with an unchecked report: {error}"
                    ) from error
                of = (
                    dom0.generation
                    if nodes.report == report_chunks(REPORT, dom0.generation)
                    else -1
                )
                state = state._replace(dom0=state.dom0._replace(machine=of))
                return self.handle(state, ts.MachinePrepared())
            case ts.Unpause():
                return self._unpause(state)
            case ts.GiveUp(error):
                return self._give_up(state, error)

    def _unpause(self, state: State) -> State:
        self.check_unpause(state)
        dom0 = state.dom0._replace(phase=Phase.UNPAUSED, unpaused=1, todo=(), queue=(), side=-1)
        return state._replace(dom0=dom0)

    def check_unpause(self, state: State) -> None:
        """The laws of the one moment that matters. Raises: Violation."""
        dom0 = state.dom0
        of = dom0.generation
        for holds, law in (
            (not dom0.unpaused, "the guest is unpaused twice"),
            (self._offered(state), "the guest of a withdrawn offer is unpaused"),
            (dom0.saw_ready, f"unpaused, but '{of} ready' was not read"),
            (dom0.saw_running, "unpaused, but 'running' was not read"),
            (dom0.machine == of, "unpaused, but no machine has this attempt's report"),
        ):
            if not holds:
                raise Violation(law)
        self.check_bytes(state)

    def check_bytes(self, state: State) -> None:
        """Raises: Violation."""
        ram, of = state.ram, state.dom0.generation
        if ram.checked != of:
            raise Violation("unpaused, but nobody digested the bytes again")
        if (ram.placed, ram.rom) != (of, of):
            raise Violation("unpaused with bytes that are not in place")

    def _offered(self, state: State) -> bool:
        return state.nodes.offer == OfferState(state.dom0.generation, Offer.PUBLISHED).encode()

    def _give_up(self, state: State, error: HandoffError) -> State:
        again = ts.worth_retrying(error) and state.dom0.generation < self._tries
        return self._stop(state, error.kind, again=again)

    def _stop(self, state: State, outcome: str, *, again: bool = False) -> State:
        """The attempt is over; all that was read and not handled is forgotten."""
        dom0 = Dom0(
            generation=state.dom0.generation,
            phase=Phase.WITHDRAWING,
            again=again,
            unpaused=state.dom0.unpaused,
            outcome="unpaused" if state.dom0.unpaused else outcome,
        )
        return state._replace(dom0=dom0)

    def _withdraw(self, state: State) -> State:
        state = self._offer(state, Offer.WITHDRAWN)
        return state._replace(dom0=state.dom0._replace(phase=Phase.REAPING))

    def _reap(self, state: State) -> State:
        dom0 = state.dom0
        state = self._killed(state)
        if not self._nodes_stay:
            state = state._replace(nodes=Nodes())
        if not dom0.again:
            return state._replace(dom0=dom0._replace(phase=Phase.OVER))
        return state._replace(dom0=Dom0(generation=dom0.generation + 1), s=self._stubdoms.started())

    def _killed(self, state: State) -> State:
        return gone(state)

    def interrupted(self, state: State) -> Iterator[Step[State]]:
        """What ends dom0's work at any moment."""
        phase = state.dom0.phase
        if phase in (Phase.OVER, Phase.DEAD):
            return
        yield Label("dom0", "is killed"), lambda: self._dead(state)
        if phase in (Phase.PUBLISHING, Phase.LOADING, Phase.FOLLOWING, Phase.UNPAUSED):
            yield Label("operator", "cancels"), lambda: self._stop(state, "cancelled")
        if phase is Phase.FOLLOWING and not state.dom0.todo:
            yield Label("dom0", "loses xenstored"), lambda: self._lost(state)

    def _dead(self, state: State) -> State:
        dead = Dom0(
            phase=Phase.DEAD,
            generation=state.dom0.generation,
            unpaused=state.dom0.unpaused,
            outcome="killed",
        )
        return state._replace(dom0=dead)

    def _lost(self, state: State) -> State:
        """It can neither withdraw nor try again."""
        state = self.handle(state, ts.Lost(LOST))
        return state._replace(dom0=state.dom0._replace(phase=Phase.REAPING, again=False))
