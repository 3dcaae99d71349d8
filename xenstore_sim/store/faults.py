"""What a daemon shall do wrong on purpose, and how often; the doing is in `injection`.

All of it happens on real systems too: conflicts of transactions, events that come late or twice, a
daemon that is restarted, a full quota, a busy machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final, Self

from xenstore_sim.wire.errors import InvalidPath
from xenstore_sim.wire.names import DOMID_SELF, DomId, NodePath, absolute_path, special_path
from xenstore_sim.wire.ops import Op

DELAY_MAX_S: Final = 3600.0
_DIGITS: Final = 20


class FaultKind(StrEnum):
    """What can go wrong; the values are the names of the rates."""

    EAGAIN = "eagain"
    """A transaction that would have been committed is not: conflict."""
    ENOSPC = "enospc"
    """A request is refused as if a quota were reached."""
    EACCES = "eacces"
    """A request is refused as if permission were missing."""
    DISCONNECT = "disconnect"
    """The connection ends, before or after its request was done."""
    SLOW = "slow"
    """All output of the connection waits for a while."""
    LATE = "late"
    """A watch event is kept back: replies overtake it, other events of its connection do not."""
    SPURIOUS = "spurious"
    """A watch fires with its own path though nothing changed."""


PATH_OPS: Final = frozenset(
    {
        Op.READ,
        Op.DIRECTORY,
        Op.DIRECTORY_PART,
        Op.GET_PERMS,
        Op.WRITE,
        Op.MKDIR,
        Op.RM,
        Op.SET_PERMS,
    }
)
"""Requests about a node."""
_REQUESTS: Final = frozenset(Op) - {Op.WATCH_EVENT, Op.ERROR}
_CONCERNED: Final[Mapping[FaultKind, frozenset[Op]]] = {
    FaultKind.EAGAIN: frozenset({Op.TRANSACTION_END}),
    FaultKind.ENOSPC: frozenset({Op.WRITE, Op.MKDIR, Op.SET_PERMS, Op.TRANSACTION_START}),
    FaultKind.EACCES: PATH_OPS,
    FaultKind.DISCONNECT: _REQUESTS,
    FaultKind.SLOW: _REQUESTS,
    FaultKind.LATE: frozenset(),
    FaultKind.SPURIOUS: frozenset(),
}
"""Requests that a fault can meet; none for those that meet events."""


class FaultPlanError(Exception):
    """A fault plan that makes no sense."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(field, value, rule)
        self.field = field
        self.value = value
        self.rule = rule

    def __str__(self) -> str:
        return f"faults: {self.field}={self.value}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds, evenly spread over a range."""

    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.least:g}-{self.most:g}"


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each fault meets the requests and events that this is aimed at.

    Rates go from 0, never, to 1, always. Raises: FaultPlanError.
    """

    eagain: float = 0.0
    enospc: float = 0.0
    eacces: float = 0.0
    disconnect: float = 0.0
    slow: float = 0.0
    late: float = 0.0
    spurious: float = 0.0
    slow_s: Delay = Delay(0.01, 0.1)
    late_s: Delay = Delay(0.01, 0.1)
    domain: DomId | None = None
    """Connections of this domain only; 0 for dom0."""
    op: Op | None = None
    """Requests of this operation only."""
    path: NodePath | None = None
    """Requests about nodes at and below this path only; events of changes there."""

    def __post_init__(self) -> None:
        for kind in FaultKind:
            if not 0 <= self.rate(kind) <= 1:
                raise FaultPlanError(kind, self.rate(kind), "a rate is a number from 0 to 1")
        for field in ("slow_s", "late_s"):
            delay = getattr(self, field)
            if not 0 <= delay.least <= delay.most <= DELAY_MAX_S:
                raise FaultPlanError(
                    field, delay, f"write seconds as LEAST-MOST, from 0 to {DELAY_MAX_S:g}"
                )
        if self.domain is not None and not 0 <= self.domain < DOMID_SELF:
            raise FaultPlanError("domain", self.domain, f"a domid is 0 to {DOMID_SELF - 1}")
        self._check_aim()

    def _check_aim(self) -> None:
        kinds = [kind for kind in FaultKind if self.rate(kind)]
        if not kinds:
            names = ", ".join(FaultKind)
            raise FaultPlanError("rates", "none", f"give at least one of {names}")
        for kind in kinds:
            if self.op is not None and self.op not in _CONCERNED[kind]:
                where = ", ".join(sorted(op.name for op in _CONCERNED[kind])) or "events alone"
                raise FaultPlanError("op", self.op.name, f"{kind} meets {where}")
            if self.path is not None and kind is FaultKind.EAGAIN:
                raise FaultPlanError("path", self.path, "the end of a transaction has no path")

    def rate(self, kind: FaultKind) -> float:
        """How often this fault happens, 0 to 1."""
        rate = getattr(self, kind.value)
        assert isinstance(rate, (int, float))
        return rate

    def request_rate(self, kind: FaultKind, domid: DomId, op: Op, path: NodePath | None) -> float:
        """How often it meets such a request. path: None where it names none."""
        if (
            op not in _CONCERNED[kind]
            or (self.op is not None and op != self.op)
            or not self._aims_at(domid, path)
        ):
            return 0.0
        return self.rate(kind)

    def event_rate(self, kind: FaultKind, domid: DomId, path: NodePath) -> float:
        """How often it meets an event of a change at this path."""
        return self.rate(kind) if self._aims_at(domid, path) else 0.0

    def _aims_at(self, domid: DomId, path: NodePath | None) -> bool:
        if self.domain is not None and domid != self.domain:
            return False
        if self.path is None:
            return True
        return path is not None and f"{path}/".startswith(f"{self.path.rstrip('/')}/")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults at any number of aims, and the seed that decides when they happen.

    The same plan and the same requests on a connection meet the same faults. What other connections
    do meanwhile matters only by the events that they cause.
    """

    faults: tuple[Faults, ...]
    seed: int | None = None
    """None: that of whoever runs the daemon, or 0."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The plan that a text such as `seed=7,eagain=0.3;path=/a,eacces=1` writes.

        Semicolons separate aims, commas the fields of `Faults`. Raises: FaultPlanError.
        """
        seed: int | None = None
        aims = []
        for part in text.split(";"):
            values = dict(_field(item) for item in part.split(","))
            if (given := values.pop("seed", None)) is not None:
                assert isinstance(given, int)
                seed = given
            if values or given is None:
                # Every value is of its field's type: `_field` read it so.
                aims.append(Faults(**values))  # type: ignore[arg-type]
        if not aims:
            raise FaultPlanError("rates", "none", f"give at least one of {', '.join(FaultKind)}")
        return cls(tuple(aims), seed)

    def seeded(self, seed: int) -> Self:
        """The same plan with this seed unless it has its own."""
        return self if self.seed is not None else replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One fault that happened."""

    number: int
    """The first is 1."""
    kind: FaultKind
    connection: str
    """As in `domain 3, connection 2`: they are counted for each domain."""
    target: str
    """The request or event that it met."""
    effect: str

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} ({self.connection}) {self.target}: {self.effect}"


def _field(item: str) -> tuple[str, object]:
    name, equals, text = (part.strip() for part in item.partition("="))
    if name not in _READERS:
        raise FaultPlanError(name, text, f"there are {', '.join(_READERS)}")
    if not equals:
        raise FaultPlanError(name, "", "write NAME=VALUE")
    return name, _READERS[name](name, text)


def _rate(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise FaultPlanError(name, text, "a rate is a number from 0 to 1") from error


def _delay(name: str, text: str) -> Delay:
    least, dash, most = text.partition("-")
    try:
        return Delay(float(least), float(most if dash else least))
    except ValueError as error:
        raise FaultPlanError(
            name, text, f"write seconds as LEAST-MOST, from 0 to {DELAY_MAX_S:g}"
        ) from error


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise FaultPlanError(name, text, f"a decimal number of up to {_DIGITS} digits")
    return int(text)


def _op(name: str, text: str) -> Op:
    op = Op.__members__.get(text.upper())
    if op is None or op not in _REQUESTS:
        names = ", ".join(sorted(op.name for op in _REQUESTS))
        raise FaultPlanError(name, text, f"the requests are {names}")
    return op


def _path(name: str, text: str) -> NodePath:
    try:
        return special_path(text) if text.startswith("@") else absolute_path(text)
    except InvalidPath as error:
        raise FaultPlanError(name, text, error.rule) from error


_READERS: Final = {
    "seed": _number,
    **{kind.value: _rate for kind in FaultKind},
    "slow_s": _delay,
    "late_s": _delay,
    "domain": _number,
    "op": _op,
    "path": _path,
}
assert set(_READERS) == {"seed", *(each.name for each in fields(Faults))}
