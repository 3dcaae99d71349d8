"""What one trial does wrong, and when: drawn from a seed and a number, the same each time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tests.faults.steps import RequestStep
from tests.faults.victim import Victim


class Blow(Enum):
    """What happens to a process or to a connection."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    PAUSE = "SIGSTOP, SIGCONT"
    BUS = "SIGBUS"
    """what a process gets that touches guest RAM when the host has no page left"""
    TERM = "SIGTERM"
    """what QEMU ends by in its own time, and says so"""
    CUT = "connection cut"
    HOLD = "message held"


class Surroundings(Enum):
    """What is wrong from the start to the end of a run."""

    CONFLICTS = "EAGAIN storm"
    EVENTS = "events late and doubled"
    SLOW = "slow xenstore"
    DISCONNECTS = "random disconnects"
    QUOTA = "random ENOSPC"
    REFUSALS = "random EACCES"
    FILE_LIMIT = "guest RAM: no file so large"
    ADDRESS_LIMIT = "guest RAM: no address space"
    NO_PAGE = "guest RAM: ENOSPC"
    JSON_FULL = "full disk for --json-file"
    SERIAL_FULL = "full disk for the console"
    STDERR_FULL = "full disk for standard error"
    CONSOLE_UNREAD = "console never read"
    CONSOLE_SLOW = "console read late"
    CONSOLE_CLOSED = "console hung up"
    STDERR_SLOW = "standard error read late"
    STDERR_UNREAD = "standard error never read"


class Kind(Enum):
    """What is booted, and how it is judged."""

    KERNEL = "kernel"
    """by what lies in its RAM"""
    FIRMWARE = "firmware"
    """the same"""
    EMULATED = "kernel, emulated"
    """by its own words"""
    QEMU = "kernel, in QEMU"
    """likewise"""


class Moment(Enum):
    BEFORE = "before"
    """the request has not reached xenstored"""
    AFTER = "after"
    """it was carried out, the reply is not delivered"""


@dataclass(frozen=True, slots=True)
class AtRequest:
    """A message between a client and xenstored."""

    step: RequestStep
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment.value} {self.step.value}"


@dataclass(frozen=True, slots=True)
class AtStage:
    """A line of `--json`; xenstored is the toolstack's own."""

    stage: str

    def __str__(self) -> str:
        return f"{self.stage} (own xenstore)"


@dataclass(frozen=True, slots=True)
class AtRandom:
    """An instant drawn from the time a boot takes now."""

    def __str__(self) -> str:
        return "random instant"


@dataclass(frozen=True, slots=True)
class InItsLife:
    """An instant drawn from QEMU's life: not yet ready, paused, while its guest runs."""

    def __str__(self) -> str:
        return "random instant of QEMU's life"


@dataclass(frozen=True, slots=True)
class Throughout:
    def __str__(self) -> str:
        return "whole run"


Place = AtRequest | AtStage | AtRandom | InItsLife | Throughout

STAGES = (
    *("created", "loaded", "published", "discovered", "verified", "placed", "moved"),
    *("inserted", "paused", "ready", "unpaused"),
)
_MACHINE_STAGES = STAGES[STAGES.index("paused") :]
_KINDS = {
    Victim.MACHINE: Kind.EMULATED,
    Victim.MACHINE_WAITER: Kind.EMULATED,
    Victim.QEMU: Kind.QEMU,
}
_OF_QEMU = (Blow.KILL, Blow.STOP, Blow.PAUSE, Blow.BUS, Blow.TERM)


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the summary: where, and what."""

    place: Place
    fault: tuple[Blow, Victim] | Surroundings

    @property
    def fault_text(self) -> str:
        if isinstance(self.fault, Surroundings):
            return self.fault.value
        blow, victim = self.fault
        return f"{blow.value} of {victim.value}"


@dataclass(frozen=True, slots=True)
class Trial:
    seed: int
    number: int
    cell: Cell
    kind: Kind
    carrier: str
    load: str
    transport: str
    """of the stub domain, where nothing lies between it and xenstored"""
    pause_s: float
    """how long a PAUSE or a HOLD lasts"""
    instant: float
    """when AtRandom is, from the start of the program, in units of the time that the last boot
    without a fault took; when InItsLife is, from QEMU's start, in units of such a life"""
    sim_seed: int

    @property
    def identity(self) -> str:
        """What --replay takes."""
        return f"{self.seed}/{self.number}"

    @property
    def speaks(self) -> bool:
        """Whether the guest runs, to be judged by its own words."""
        return self.kind in (Kind.EMULATED, Kind.QEMU)


def trial(seed: int, number: int) -> Trial:
    """The trial of that number: every cell once, in an order of its own, before any again."""
    cells = all_cells()
    lap, index = divmod(number, len(cells))
    order = list(range(len(cells)))
    random.Random(f"{seed}/lap {lap}").shuffle(order)
    dice = random.Random(f"{seed}/{number}")
    cell = cells[order[index]]
    return Trial(
        seed=seed,
        number=number,
        cell=cell,
        kind=_kind_for(cell) or dice.choices([*Kind], (4, 2, 3, 2))[0],
        carrier=dice.choice(("xenstore", "memory", "cmdline")),
        load=dice.choice(("kernel", "buffer")),
        transport=dice.choice(("socket", "ring")),
        pause_s=dice.choice((0.05, 0.3, 1.0, 2.5)),
        instant=dice.uniform(0.0, 1.1),
        sim_seed=dice.randrange(2**31),
    )


def _kind_for(cell: Cell) -> Kind | None:
    """The only guest that this can befall; None: any."""
    if isinstance(cell.fault, Surroundings):
        return Kind.EMULATED if "console" in cell.fault.value else None
    return _KINDS.get(cell.fault[1])


def all_cells() -> tuple[Cell, ...]:
    """Every step with everything that can go wrong there."""
    parts = (_at_requests(), _at_stages(), _at_random(), _in_qemus_life(), _throughout())
    return tuple(itertools.chain.from_iterable(parts))


def _at_requests() -> Iterator[Cell]:
    for step, moment in itertools.product(RequestStep, Moment):
        place = AtRequest(step, moment)
        for blow in (Blow.KILL, Blow.STOP, Blow.PAUSE):
            for victim in (Victim.TOOLSTACK, Victim.DEVICE_MODEL, Victim.XENSTORE):
                # A device model's last words are said: what is left is the toolstack's own.
                if victim is not Victim.DEVICE_MODEL or step.device_model_lives:
                    yield Cell(place, (blow, victim))
        for blow in (Blow.CUT, Blow.HOLD):
            yield Cell(place, (blow, step.speaker))


def _at_stages() -> Iterator[Cell]:
    for stage in STAGES:
        victims = [Victim.TOOLSTACK, Victim.DEVICE_MODEL, Victim.WAITER]
        if stage in _MACHINE_STAGES:
            victims += [Victim.MACHINE, Victim.MACHINE_WAITER]
        for victim in victims:
            for blow in (Blow.KILL, Blow.STOP, Blow.PAUSE, Blow.BUS):
                # What ends a waiter by SIGBUS is the end of the one inside.
                if blow is not Blow.BUS or victim not in (Victim.WAITER, Victim.MACHINE_WAITER):
                    yield Cell(AtStage(stage), (blow, victim))
        if stage in _MACHINE_STAGES:
            yield from (Cell(AtStage(stage), (blow, Victim.QEMU)) for blow in _OF_QEMU)


def _at_random() -> Iterator[Cell]:
    # Many of them: a random instant is another one each time.
    for _ in range(6):
        for blow in (Blow.KILL, Blow.STOP, Blow.PAUSE):
            for victim in (Victim.TOOLSTACK, Victim.DEVICE_MODEL, Victim.WAITER, Victim.XENSTORE):
                yield Cell(AtRandom(), (blow, victim))


def _in_qemus_life() -> Iterator[Cell]:
    for _ in range(6):
        yield from (Cell(InItsLife(), (blow, Victim.QEMU)) for blow in _OF_QEMU)


def _throughout() -> Iterator[Cell]:
    for _ in range(3):
        for surroundings in Surroundings:
            yield Cell(Throughout(), surroundings)
