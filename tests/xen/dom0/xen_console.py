"""The hypervisor's messages, with the time of each on dom0's clock."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from tests.xen.dom0.commands import run

_LINE: Final = re.compile(r"^\((XEN|d\d+)\) \[ *(\d+\.\d+)\] (.*)$", re.MULTILINE)
_ACTIVE_GRANT: Final = re.compile(r"^\[0x")
GRANTS_KEY: Final = "g"
_GRANTS_BEGIN: Final = "gnttab_usage_print_all [ key 'g' pressed"


@dataclass(frozen=True, slots=True)
class Message:
    who: str
    """`XEN`, or `d` and a domid: what the domain wrote to its debug port"""
    at_s: float
    """by time.monotonic"""
    text: str


def messages() -> tuple[Message, ...]:
    """All that the ring still has. Needs `console_timestamps=boot`."""
    # A key that is pressed is logged: its time by both clocks is the difference between them.
    pressed_s = time.monotonic()
    run("xl", "debug-keys", GRANTS_KEY)
    found = [(who, float(at), text) for who, at, text in _LINE.findall(run("xl", "dmesg"))]
    stamps = [at for _, at, text in found if text == _GRANTS_BEGIN]
    offset_s = pressed_s - stamps[-1]
    return tuple(Message(who, at + offset_s, text) for who, at, text in found)


def active_grants() -> int:
    """How many grants are mapped, by all domains."""
    said = [message.text for message in messages()]
    begin = len(said) - 1 - said[::-1].index(_GRANTS_BEGIN)
    return sum(bool(_ACTIVE_GRANT.match(text)) for text in said[begin:])
