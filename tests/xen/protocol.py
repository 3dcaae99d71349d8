"""What host and dom0 tell each other: one line of JSON a message, over a serial port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

GREETING: Final = "dom0 is up"


class Outcome(StrEnum):
    DONE = "done"
    FAILED = "failed"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Request:
    """Run a scenario; an empty line in its place: power off."""

    number: int
    scenario: str
    """dotted name of a function"""
    arguments: Mapping[str, Any]
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    number: int
    outcome: Outcome
    facts: Any
    """what the scenario returned"""
    reason: str
    """why it did not: a traceback, or how long it was waited for"""
    left: Mapping[str, list[str]]
    """what was there after it and not before"""
    took_s: float


def hello() -> bytes:
    return _line({"greeting": GREETING})


def is_hello(line: bytes) -> bool:
    return bool(_content(line).get("greeting") == GREETING)


def encode_request(request: Request) -> bytes:
    return _line(asdict(request))


def decode_request(line: bytes) -> Request:
    return Request(**_content(line))


def encode_answer(answer: Answer) -> bytes:
    return _line(asdict(answer))


def decode_answer(line: bytes) -> Answer:
    content = _content(line)
    return Answer(**{**content, "outcome": Outcome(content["outcome"])})


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _content(line: bytes) -> dict[str, Any]:
    return dict(json.loads(line))
