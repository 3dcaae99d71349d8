"""What became of each cell, and the table of it at the end of a test run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from handoff.platforms import Platform
from tests.e2e.matrix.cells import CARRIERS, EMULATOR, QEMU, Method

WIDTH: Final = 80
_SHORT: Final = {QEMU: "qemu", EMULATOR: "emu"}
_COLUMN: Final = 5
_FRONT: Final = 32


@dataclass
class Matrix:
    """Filled while the tests run."""

    equal: dict[tuple[str, Method, Platform], int] = field(default_factory=dict)
    """how many ranges were shown to be equal, native and handed over"""
    refused: dict[tuple[str, Method, Platform], str] = field(default_factory=dict)
    ran: dict[tuple[str, Method, Platform, str], str] = field(default_factory=dict)
    """the machine of each cell that ran"""
    proved: dict[tuple[str, Method], str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.equal or self.refused or self.ran)

    def lines(self) -> Iterator[str]:
        """The table, then what each row is known by, then what is refused and why."""
        names = [f"{platform.value:<{len(CARRIERS) * _COLUMN}}" for platform in Platform]
        yield (" " * _FRONT + "".join(names)).rstrip()
        heads = "".join(f"{carrier[:4]:<{_COLUMN}}" for carrier in CARRIERS)
        yield (f"{'image':<20}{'method':<12}" + heads * len(Platform)).rstrip()
        known = {(image, method) for image, method, *_ in (*self.equal, *self.ran)}
        rows = sorted(known, key=lambda row: (row[0], row[1].name))
        for image, method in rows:
            cells = [
                self._cell(image, method, platform, carrier)
                for platform in Platform
                for carrier in CARRIERS
            ]
            columns = "".join(f"{cell:<{_COLUMN}}" for cell in cells)
            yield f"{image:<20}{method.name:<12}{columns}".rstrip()
        yield from ("", "qemu, emu: run there to the guest's own words")
        yield from _wrapped(
            "=: not run there; the plan, and every range it names, were compared and are equal, "
            "native and handed over. A distribution's kernel needs a timer, which the emulator "
            "does not have, and in QEMU each method meets each platform and each platform each "
            "carrier, not every one of them together"
        )
        if self.proved:
            yield from ("", "What the guest itself showed")
            for image, method in rows:
                if (image, method) in self.proved:
                    yield from _wrapped(f"{image}, {method.name}: {self.proved[image, method]}")
        if self.refused:
            yield from ("", "Refused, by host files and handed over alike")
            merged: dict[tuple[str, str, str], list[str]] = {}
            for (image, method, platform), text in self.refused.items():
                merged.setdefault((image, method.name, text), []).append(platform.value)
            for (image, name, text), platforms in merged.items():
                where = "" if len(platforms) == len(Platform) else f" on {', '.join(platforms)}"
                yield from _wrapped(f"{image}, {name}{where}: {text}")

    def _cell(self, image: str, method: Method, platform: Platform, carrier: str) -> str:
        machine = self.ran.get((image, method, platform, carrier))
        if machine is not None:
            return _SHORT[machine]
        if (image, method, platform) in self.refused:
            return "no"
        return "=" if (image, method, platform) in self.equal else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


MATRIX: Final = pytest.StashKey[Matrix]()
"""Where a test run keeps it."""
