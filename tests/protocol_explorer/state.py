"""One moment of an attempt to boot: xenstore, guest RAM, both processes, what may still go wrong.

Named tuples, because hundreds of thousands of them are hashed and compared.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from handoff.addresses import Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.conversation import devicemodel_side as dm
from handoff.conversation import toolstack_side as ts
from handoff.report import Report, encode_report
from handoff.stages import Stage

RAM_OF_T = (GpaRange(Gpa(0), 0x4000000),)
REPORT = Report("linux", (), (), GpaRange(Gpa(0xC8000), 0xA00), 0)
TORN = -1
"""Neither the bytes that belong there nor those from before."""


def report_chunks(report: Report, generation: int) -> tuple[bytes, ...]:
    return tuple(c.encode() for c in base64_chunks.split(encode_report(report, generation)))


class Nodes(NamedTuple):
    """Values in xenstore."""

    offer: bytes | None = None
    answer: bytes | None = None
    error: bytes | None = None
    report: tuple[bytes, ...] = ()
    running: bytes | None = None


class Ram(NamedTuple):
    """RAM of T: what is in it, and of which attempt."""

    staged: int = 0
    """the images: 0 none, 1 whole, or TORN"""
    placed: int = 0
    """generation whose plan is in place, 0 none, or TORN"""
    rom: int = 0
    """the same for the BIOS extension and its parameter block"""
    checked: int = 0
    """generation whose bytes were all digested again and found right, for the laws"""


class Stubdom(NamedTuple):
    """S: the machine and the shell around it."""

    side: int
    alive: bool = True
    todo: tuple[dm.Command, ...] = ()
    looked: bool = False
    """the offer's state was read for the stage that comes next"""
    half: bool = False
    """in the middle of a stage that writes to RAM"""
    about_to_run: bool = False
    watch: bool = True
    """an event of the offer's watch waits"""
    told: Stage | None = None
    taken_back: bool = False
    """it has read that its offer is no more, for the laws"""


class Phase(IntEnum):
    LOADING = 0
    PUBLISHING = 1
    FOLLOWING = 2
    UNPAUSED = 3
    WITHDRAWING = 4
    REAPING = 5
    OVER = 6
    DEAD = 7


class Dom0(NamedTuple):
    """The toolstack: the machine and the shell around it."""

    generation: int = 1
    phase: Phase = Phase.LOADING
    side: int = -1
    todo: tuple[ts.Command, ...] = ()
    queue: tuple[ts.Event, ...] = ()
    """events that were read and not yet handled"""
    answer_watch: bool = False
    running_watch: bool = False
    heard_end: int = 0
    """1: S is reaped and its last words were read; 2: and the machine will be told"""
    machine: int = 0
    """generation of the report with which a machine was prepared"""
    saw_ready: bool = False
    saw_running: bool = False
    again: bool = False
    """another attempt follows"""
    unpaused: int = 0
    outcome: str = ""


class Budget(NamedTuple):
    """How much may still go wrong."""

    duplicates: int = 0
    """events without a change"""
    deaths: int = 0
    """of S, by a signal or because its connection is cut"""
    damages: int = 0
    """of bytes in RAM"""
    failures: int = 0
    """of a stage of S, or of the machine's start"""
    interruptions: int = 0
    """of dom0: cancelled, killed, xenstored lost"""


class State(NamedTuple):
    nodes: Nodes
    ram: Ram
    s: Stubdom
    dom0: Dom0
    budget: Budget
    old: Stubdom | None = None
    """S of the attempt before, which is dead by now unless dom0 has a bug"""
