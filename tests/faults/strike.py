"""The fault itself: a signal, a cut, a message held, at the moment a trial names."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import trio

from tests.faults.processes import find, send
from tests.faults.run import Seen
from tests.faults.steps import RequestStep
from tests.faults.trial import AtRandom, AtRequest, AtStage, Blow, InItsLife, Moment, Trial
from tests.faults.victim import Victim
from tests.faults.xenstored import Xenstored

BEFORE_THE_MACHINE = "inserted"
"""The stage that is followed by the machine's start."""
_LOOK_S = 0.002
STOPPED_S = 1.0
"""How long a stopped toolstack is waited for before its operator kills it."""


_SIGNALS = {
    Blow.KILL: signal.SIGKILL,
    Blow.BUS: signal.SIGBUS,
    Blow.TERM: signal.SIGTERM,
    Blow.STOP: signal.SIGSTOP,
    Blow.PAUSE: signal.SIGSTOP,
}


@dataclass(slots=True)
class Striker:
    """Strikes once."""

    trial: Trial
    seen: Seen
    xenstored: Xenstored
    boot_s: float
    """what a boot without a fault takes now"""
    qemus_life_s: float
    """what QEMU does of it"""
    nursery: trio.Nursery
    struck: bool = False
    killed_toolstack: bool = False
    """the toolstack was, by the fault or by the operator who found it stopped"""
    stopped: list[int] = field(default_factory=list)

    async def gate(self, step: RequestStep, moment: Moment) -> bool:
        """Implements Gate of the intercept."""
        if self.struck or self.trial.cell.place != AtRequest(step, moment):
            return True
        return await self._strike()

    async def on_stage(self, stage: str) -> None:
        if not self.struck and self.trial.cell.place == AtStage(stage):
            await self._strike()
        if stage == BEFORE_THE_MACHINE and self.trial.cell.place == InItsLife():
            self.nursery.start_soon(self._in_qemus_life)

    async def at_random(self) -> None:
        if self.trial.cell.place == AtRandom():
            await trio.sleep(self.trial.instant * self.boot_s)
            if not self.struck:
                await self._strike()

    async def _in_qemus_life(self) -> None:
        while find(Victim.QEMU, self.seen.pid) is None:  # noqa: ASYNC110  (it tells nobody)
            await trio.sleep(_LOOK_S)
        await trio.sleep(self.trial.instant * self.qemus_life_s)
        await self._strike()

    async def _strike(self) -> bool:
        """Whether the connection stays."""
        assert isinstance(self.trial.cell.fault, tuple)
        blow, victim = self.trial.cell.fault
        self.struck = True
        if blow is Blow.CUT:
            return False
        if blow is Blow.HOLD:
            await trio.sleep(self.trial.pause_s)
            return True
        pid = self._pid(blow, victim)
        number = _SIGNALS[blow]
        if pid is None or not send(pid, number):
            # It had ended, or was not there yet.
            self.struck = False
            return True
        if number is signal.SIGSTOP:
            self.stopped.append(pid)
            if blow is Blow.PAUSE:
                self.nursery.start_soon(self._continue, pid)
            elif victim is Victim.TOOLSTACK:
                self.nursery.start_soon(self._give_up_on, pid)
        elif victim is Victim.TOOLSTACK:
            self.killed_toolstack = True
        return True

    def _pid(self, blow: Blow, victim: Victim) -> int | None:
        match victim:
            case Victim.TOOLSTACK:
                return self.seen.pid or None
            case Victim.XENSTORE:
                return self.xenstored.pid if self.xenstored.runs else None
        found = find(victim, self.seen.pid)
        if found is None:
            return None
        outside, inside = found
        if victim in (Victim.WAITER, Victim.MACHINE_WAITER):
            # Not confined yet, it has none.
            return None if inside is None else outside
        # From outside, the first process of a pid namespace gets SIGKILL and SIGSTOP alone. Its
        # waiter ends by any other signal as it does where that was the end of the one inside.
        return outside if inside is None or blow is Blow.BUS else inside

    async def _continue(self, pid: int) -> None:
        await trio.sleep(self.trial.pause_s)
        if pid in self.stopped:
            self.stopped.remove(pid)
        send(pid, signal.SIGCONT)

    async def _give_up_on(self, pid: int) -> None:
        await trio.sleep(STOPPED_S)
        self.killed_toolstack = True
        send(pid, signal.SIGKILL)

    def let_all_go_on(self) -> None:
        """What is still stopped goes on, as after a long night."""
        for pid in self.stopped:
            send(pid, signal.SIGCONT)
        self.stopped.clear()
