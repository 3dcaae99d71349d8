"""What became of each cell, and the table of it at the end of a test run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from handoff.platforms import Platform
from tests.e2e.matrix.cells import CARRIERS, EMULATOR, QEMU, ROWS, Goal, Method, Row

WIDTH: Final = 80
"""Columns of the table and of what is written below it."""
_HEADS: Final = {"xenstore": "store", "memory": "mem", "cmdline": "cmd", "native": "host"}
_RAN: Final = {QEMU: "qemu", EMULATOR: "emu"}
_FOLLOWED: Final = {Goal.WORDS: "words", Goal.ENTRY: "entry", Goal.SETUP: "setup"}
_IMAGE, _METHOD, _CELL = 19, 14, 6
LEGEND: Final = (
    "store, mem, cmd: what is handed over is told by --carrier xenstore, memory, cmdline; host: "
    "nothing is, the device model reads the host's files (--native)",
    "qemu, emu: the programs were started for it, as a user does, in QEMU under SeaBIOS or OVMF or "
    "in the emulator; known by the guest's own words",
    "words, entry, setup: in the emulator, all stages in the process of the tests, natively and "
    "handed over alike: to the guest's own words, to its first instruction in 32 or 64 bits, or to "
    "that of its setup code",
    "no: refused, natively and handed over alike; why is below",
    "docs/boot-methods.md, Where each is run: why which cell is not run where",
)


@dataclass
class Matrix:
    """Filled while the tests run."""

    followed: dict[tuple[str, Method, Platform], Goal] = field(default_factory=dict)
    """natively and handed over, in the emulator"""
    refused: dict[tuple[str, Method, Platform], str] = field(default_factory=dict)
    ran: dict[tuple[str, Method, Platform, str], str] = field(default_factory=dict)
    """the machine of each cell that the programs were started for"""
    _shown: dict[Row, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.followed or self.refused or self.ran)

    def showed(self, image: str, method: Method, what: str) -> None:
        """The guest itself showed `what`."""
        known = self._shown.setdefault((image, method), [])
        if what not in known:
            known.append(what)

    def lines(self) -> Iterator[str]:
        """The table, then what each row is known by, then what is refused and why."""
        yield from self.table()
        for text in LEGEND:
            yield from ("", *_wrapped(text))
        yield from self._what_was_shown()
        yield from self._what_was_refused()

    def table(self) -> Iterator[str]:
        """A line a row, 80 columns."""
        names = "".join(f"{platform.value:<{len(CARRIERS) * _CELL}}" for platform in Platform)
        yield (" " * (_IMAGE + _METHOD) + names).rstrip()
        heads = "".join(f"{_HEADS[carrier]:<{_CELL}}" for carrier in CARRIERS) * len(Platform)
        yield _row("image", "method", heads)
        known = {(image, method) for image, method, *_ in (*self.followed, *self.ran)}
        for image, method in ROWS:
            if (image, method) in known:
                cells = (
                    self._cell(image, method, platform, carrier)
                    for platform in Platform
                    for carrier in CARRIERS
                )
                yield _row(image, method.name, "".join(f"{cell:<{_CELL}}" for cell in cells))

    def _cell(self, image: str, method: Method, platform: Platform, carrier: str) -> str:
        machine = self.ran.get((image, method, platform, carrier))
        if machine is not None:
            return _RAN[machine]
        goal = self.followed.get((image, method, platform))
        if goal is not None:
            return _FOLLOWED[goal]
        return "no" if (image, method, platform) in self.refused else ""

    def _what_was_shown(self) -> Iterator[str]:
        if self._shown:
            yield from ("", "What the guest itself showed")
        merged: dict[tuple[str, str], list[str]] = {}
        for (image, method), shown in self._shown.items():
            merged.setdefault((image, "; ".join(shown)), []).append(method.name)
        for (image, shown), methods in merged.items():
            yield from _wrapped(f"{image}, {', '.join(methods)}: {shown}")

    def _what_was_refused(self) -> Iterator[str]:
        if self.refused:
            yield from ("", "Refused")
        merged: dict[tuple[str, str], dict[str, list[str]]] = {}
        for (image, method, platform), text in self.refused.items():
            methods = merged.setdefault((image, text), {})
            methods.setdefault(method.name, []).append(platform.value)
        for (image, text), methods in merged.items():
            names = [
                name if len(platforms) == len(Platform) else f"{name} on {platforms[0]}"
                for name, platforms in methods.items()
            ]
            yield from _wrapped(f"{image}, {', '.join(names)}: {text}")


def _row(image: str, method: str, cells: str) -> str:
    return f"{image:<{_IMAGE}}{method:<{_METHOD}}{cells}".rstrip()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


MATRIX: Final = pytest.StashKey[Matrix]()
"""Where a test run keeps it."""
