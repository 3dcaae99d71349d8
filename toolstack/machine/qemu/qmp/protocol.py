"""One side of a QMP conversation, without I/O: bytes in, messages out, commands to bytes.

QEMU runs the guest, so what it says is not trusted: lines are bounded, and whatever is not
one of the four forms a QMP server may send is a QmpViolation.

Source: QEMU, docs/interop/qmp-spec.rst.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

LINE_MAX_BYTES = 64 * 1024
"""Longest line taken from QEMU, newline included; what we ask for is far below."""
_SHOWN_CHARACTERS = 80


class QmpViolation(Exception):
    """The peer sent what a QMP server may not; the conversation is over."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The peer's first message."""

    version: str
    """`7.2.22`"""


@dataclass(frozen=True, slots=True)
class Success:
    id: int
    value: object


@dataclass(frozen=True, slots=True)
class Refusal:
    id: int
    error_class: str
    description: str


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: Mapping[str, object]


Message = Greeting | Success | Refusal | Event


class _State(Enum):
    GREETING = auto()
    OPEN = auto()
    BROKEN = auto()


class QmpConversation:
    """The client's side: numbers commands, and matches every reply to an open one."""

    def __init__(self, line_max_bytes: int = LINE_MAX_BYTES) -> None:
        self._line_max_bytes = line_max_bytes
        self._state = _State.GREETING
        self._received = bytearray()
        self._next_id = 1
        self._open: set[int] = set()

    def command(
        self, name: str, arguments: Mapping[str, object] | None = None
    ) -> tuple[int, bytes]:
        """The id of a new command and the bytes that send it."""
        number = self._next_id
        self._next_id += 1
        self._open.add(number)
        request: dict[str, object] = {"execute": name, "id": number}
        if arguments:
            request["arguments"] = dict(arguments)
        return number, json.dumps(request).encode() + b"\n"

    def receive(self, data: bytes) -> tuple[Message, ...]:
        """The messages that `data` completes, in their order.

        Raises: QmpViolation; nothing can be received after it.
        """
        if self._state is _State.BROKEN:
            raise QmpViolation("the conversation is over since an earlier violation")
        try:
            return self._receive(data)
        except QmpViolation:
            self._state = _State.BROKEN
            raise

    def _receive(self, data: bytes) -> tuple[Message, ...]:
        *complete, rest = bytes(self._received + data).split(b"\n")
        longest = max((len(line) + 1 for line in complete), default=0)
        if max(longest, len(rest)) > self._line_max_bytes:
            raise QmpViolation(f"a line of more than {self._line_max_bytes} bytes")
        self._received = bytearray(rest)
        return tuple(self._message(line) for line in complete if line.strip())

    def _message(self, line: bytes) -> Message:
        fields = _json_object(line)
        if self._state is _State.GREETING:
            self._state = _State.OPEN
            return _greeting(fields, line)
        if "event" in fields:
            return _event(fields, line)
        if "return" in fields:
            return Success(self._closed_id(fields, line), fields["return"])
        if "error" in fields:
            return self._refusal(fields, line)
        raise _violation("neither greeting, reply nor event", line)

    def _refusal(self, fields: Mapping[str, object], line: bytes) -> Refusal:
        error = fields["error"]
        if not isinstance(error, dict):
            raise _violation("`error` is not an object", line)
        error_class, description = error.get("class"), error.get("desc")
        if not isinstance(error_class, str) or not isinstance(description, str):
            raise _violation("`error` without the texts `class` and `desc`", line)
        return Refusal(self._closed_id(fields, line), error_class, description)

    def _closed_id(self, fields: Mapping[str, object], line: bytes) -> int:
        number = fields.get("id")
        # JSON's true would pass as 1.
        if type(number) is not int or number not in self._open:
            raise _violation("a reply to no open command", line)
        self._open.remove(number)
        return number


def _json_object(line: bytes) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _violation("not JSON", line) from error
    if not isinstance(fields, dict):
        raise _violation("not a JSON object", line)
    return fields


def _greeting(fields: Mapping[str, object], line: bytes) -> Greeting:
    match fields:
        case {"QMP": {"version": {"qemu": {"major": int(a), "minor": int(b), "micro": int(c)}}}}:
            return Greeting(f"{a}.{b}.{c}")
        case _:
            raise _violation("not a QMP greeting", line)


def _event(fields: Mapping[str, object], line: bytes) -> Event:
    match fields:
        case {"event": str(name), "data": dict(data)}:
            return Event(name, data)
        case {"event": str(name)} if "data" not in fields:
            return Event(name, {})
        case _:
            raise _violation("a malformed event", line)


def _violation(problem: str, line: bytes) -> QmpViolation:
    shown = line[:_SHOWN_CHARACTERS].decode("ascii", "backslashreplace")
    return QmpViolation(f"{problem}: {shown}")
