"""Makes programs: valid messages, nearly valid ones, and noise, on a few paths and domains.

Where the choices come from is left open: from a seeded generator in a campaign, from Hypothesis,
which can then shrink them, in a test.
"""

import random
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from tests.fuzz.program import COMPATS, DOMAINS, Kind, Program, Step
from xenstore_sim.store.quotas import QUOTA_NAMES
from xenstore_sim.wire.layout import HEADER, PAYLOAD_MAX
from xenstore_sim.wire.ops import Op

T = TypeVar("T")

_PATHS: Final = (
    b"/",
    b"/a",
    b"/a/b",
    b"/a/b/c",
    b"/b",
    b"/local",
    b"/local/domain",
    *(b"/local/domain/%d" % domid for domid in DOMAINS),
    *(b"/local/domain/%d/x" % domid for domid in DOMAINS),
    b"/local/domain/9",
    b"/local/domain/9/x",
    b"/tool",
    b"x",
    b"x/y",
    b"y",
    b"z/y/x/w",
    b"@introduceDomain",
    b"@releaseDomain",
    b"@releaseDomain/2",
    b"@other",
)
_ODD_PATHS: Final = (
    b"",
    b"//",
    b"/a/",
    b"a.b",
    b"/\xff",
    b"@",
    b"@/",
    b"/" + b"p" * 199,
    b"/" + b"p" * 3000,
    b"/d" * 1000,
    b"r" * 2047,
)
_TOKENS: Final = (b"", b"t", b"u", b"\xff\n", b"t" * 300, b"t" * 4000)
_VALUES: Final = (b"", b"v", b"\0", b"w" * 100, b"w" * 390, b"w" * 3000, b"w" * 4090)
_PERMS: Final = (b"n0", b"n1", b"r2", b"w3", b"b1", b"n9", b"b32757", b"r40000", b"n-1", b"x1", b"")
_DOMIDS: Final = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"9",
    b"32752",
    b"65535",
    b"70000",
    b"-1",
    b"",
    b"x",
)
_NUMBERS: Final = (b"0", b"1", b"5", b"4294967295", b"99999999999999999999", b"-5", b"", b"y")
_CONTROLS: Final = (
    b"check",
    b"help",
    b"quota",
    b"quota-soft",
    b"log",
    b"logfile",
    b"memreport",
    b"print",
    b"live-update",
    b"",
    b"nonsense",
)
_WORDS: Final = (b"set", b"max", b"-r", b"on", b"off", b"+io", b"-s", b"-a")
_QUOTAS: Final = tuple(name.encode("ascii") for name in QUOTA_NAMES)
_FREQUENT: Final = (
    *(Op.WRITE, Op.READ, Op.MKDIR, Op.RM, Op.SET_PERMS, Op.DIRECTORY) * 2,
    *(Op.WATCH, Op.TRANSACTION_START, Op.TRANSACTION_END) * 2,
)
_OPS: Final = (*Op, *_FREQUENT)
_LENGTHS: Final = (0, 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 0x7FFFFFFF, 0xFFFFFFFF)
_SLOTS: Final = 3
_DRAINS: Final = (1, 15, 16, 100, 5000, 60000)


class Choices(Protocol):
    """Where a program's makers get their decisions."""

    def number(self, low: int, high: int) -> int:
        """From low to high, both inclusive."""

    def noise(self, most: int) -> bytes:
        """Any bytes."""


class RandomChoices:
    """Decisions of a seeded generator."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def number(self, low: int, high: int) -> int:
        return self._generator.randint(low, high)

    def noise(self, most: int) -> bytes:
        return self._generator.randbytes(self._generator.randint(0, most))


class Grammar:
    """Makes programs of one source of choices."""

    def __init__(self, choices: Choices, *, steps_max: int) -> None:
        self._choices = choices
        self._steps_max = steps_max
        self._started = [0] * _SLOTS
        """Transactions that the peer in each slot probably started; ids are counted from 1."""

    def program(self) -> Program:
        """Some steps for some release; in half of all programs, dom0 is hostile too."""
        compat = self._one(COMPATS)
        trusted = self._choices.number(0, 1) == 1
        steps = [Step(Kind.CONNECT, self._one(DOMAINS)), Step(Kind.CONNECT, self._one(DOMAINS))]
        self._started = [0] * _SLOTS
        if trusted:
            steps.append(Step(Kind.CONNECT, 0))
        number = self._choices.number(1, self._steps_max)
        steps += [self._step(trusted=trusted) for _ in range(number)]
        return Program(compat, tuple(steps))

    def _one(self, of: Sequence[T]) -> T:
        return of[self._choices.number(0, len(of) - 1)]

    def _once_in(self, number: int) -> bool:
        return self._choices.number(1, number) == 1

    def _step(self, *, trusted: bool) -> Step:
        slot = self._choices.number(0, _SLOTS - 1)
        match self._choices.number(0, 19):
            case 0:
                kind = self._one((Kind.CONNECT, Kind.CONNECT_RING))
                domids = (0, *DOMAINS, 4, 9) if trusted else (*DOMAINS, 4, 9)
                return Step(kind, self._one(domids))
            case 1 if self._once_in(2):
                self._started[slot] = 0
                return Step(Kind.DISCONNECT, slot)
            case 2 | 3 | 4 | 5:
                return Step(Kind.DRAIN, slot, bytes(self._one(_DRAINS)))
            case 6 if trusted and self._once_in(2):
                return Step(self._one((Kind.DESTROY, Kind.SHUT_DOWN)), self._one((*DOMAINS, 4)))
            case 8 if self._once_in(2):
                return Step(Kind.BLOCKED, slot)
            case 9 if self._once_in(2):
                return Step(Kind.TICK, self._one((1, 19, 20, 21)))
            case 7 if self._once_in(2):
                return Step(Kind.FEED, slot, self._choices.noise(60))
        number = self._choices.number(1, 4)
        messages = b"".join(self._message(slot) for _ in range(number))
        if self._once_in(12):
            messages = self._mutated(messages)
        if self._once_in(60):
            messages *= 200
        return Step(Kind.FEED, slot, messages[:0xFFFF])

    def _message(self, slot: int) -> bytes:
        op = self._choices.number(0, 30) if self._once_in(12) else int(self._one(_OPS))
        payload = self._payload(op)
        if self._once_in(15):
            payload = self._mutated(payload)
        payload = payload[:PAYLOAD_MAX]
        length = self._one(_LENGTHS) if self._once_in(150) else len(payload)
        last = self._started[slot]
        tx_id = self._one((0, 0, 0, last, last, last, max(last - 1, 0), last + 1))
        if op == Op.TRANSACTION_START:
            tx_id = 0 if self._choices.number(0, 9) else tx_id
            self._started[slot] += 1
        return HEADER.pack(op, self._choices.number(0, 0xFFFFFFFF), tx_id, length) + payload

    def _payload(self, op: int) -> bytes:
        match op:
            case Op.READ | Op.DIRECTORY | Op.GET_PERMS | Op.MKDIR | Op.RM:
                return self._path()
            case Op.WRITE:
                return self._path() + self._one(_VALUES)
            case Op.DIRECTORY_PART:
                return self._path() + self._text(_NUMBERS)
            case Op.WATCH | Op.UNWATCH:
                depth = self._text(_NUMBERS) if self._once_in(3) else b""
                return self._path() + self._text(_TOKENS) + depth
            case Op.SET_PERMS:
                number = self._choices.number(0, 4)
                return self._path() + b"".join(self._text(_PERMS) for _ in range(number))
            case Op.TRANSACTION_END:
                return self._one((b"T\0", b"T\0", b"F\0", b"T", b""))
            case Op.TRANSACTION_START | Op.RESET_WATCHES:
                return b"\0"
            case Op.INTRODUCE:
                return self._text(_DOMIDS) + b"1\0" + self._text((*_NUMBERS, b"1", b"1"))
            case Op.SET_TARGET | Op.SET_FEATURE:
                return self._text(_DOMIDS) + self._text(_DOMIDS)
            case Op.GET_FEATURE:
                return self._one((b"", self._text(_DOMIDS)))
            case Op.GET_QUOTA:
                return self._one((b"", self._text(_DOMIDS))) + self._text(_QUOTAS)
            case Op.SET_QUOTA:
                scope = self._one((b"", self._text(_DOMIDS)))
                return scope + self._text(_QUOTAS) + self._text(_NUMBERS)
            case Op.CONTROL:
                words = (*_WORDS, *_NUMBERS, *_QUOTAS)
                number = self._choices.number(0, 3)
                return self._text(_CONTROLS) + b"".join(self._text(words) for _ in range(number))
            case _:
                return self._text(_DOMIDS)

    def _path(self) -> bytes:
        return self._text(_ODD_PATHS if self._once_in(12) else _PATHS)

    def _text(self, of: Sequence[bytes]) -> bytes:
        return self._one(of) + b"\0"

    def _mutated(self, data: bytes) -> bytes:
        at = self._choices.number(0, len(data))
        match self._choices.number(0, 3):
            case 0:
                return data[:at]
            case 1:
                return data[:at] + self._choices.noise(4) + data[at:]
            case 2:
                return data[:at] + data[at + 1 :]
        return data[:at] + self._choices.noise(4) + data[at + 4 :]
