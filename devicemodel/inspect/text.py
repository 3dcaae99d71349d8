"""Findings for a person, on a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from devicemodel.inspect.findings import Field, Findings, Refusal
from devicemodel.inspect.steps import entry_state, placed, steps
from devicemodel.place import Plan
from devicemodel.plan import BootPlan
from handoff.addresses import GpaRange, size_text
from handoff.errors import printable
from handoff.platforms import Reservation, Until
from handoff.report import PlacedRange, When

WIDTH: Final = 80
_INDENT: Final = "  "
_NAME_MAX: Final = 60
_WHEN: Final[Mapping[When, str]] = MappingProxyType(
    {When.NOW: "in place", When.BEV: "at BEV", When.RUN: "kept free"}
)
_UNTIL: Final[Mapping[Until, str]] = MappingProxyType(
    {Until.BEV: "until BEV", Until.ALWAYS: "always"}
)
_MODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "real": "real mode, interrupts off",
        "32": "flat 32-bit protected mode, paging and interrupts off",
        "64": "64-bit mode, low 4 GiB mapped to themselves, interrupts off",
        "reset": "real mode at the reset vector, 16 bytes before the BIOS ends",
    }
)


def to_text(findings: Findings) -> str:
    """Lines of at most WIDTH columns; of printable ASCII, whatever the image has in it."""
    lines = list(_lines(findings))
    return "".join(f"{printable(line, WIDTH)}\n" for line in lines)


def _lines(findings: Findings) -> Iterator[str]:
    image, outcome = findings.image, findings.outcome
    yield f"{printable(image.name, _NAME_MAX)}, {size_text(image.size)}"
    yield from _wrapped(image.what)
    if image.fields:
        yield from ("", "Header")
        yield from _fields(image.fields)
    setting = findings.setting
    yield from ("", f"In a guest of {setting.memory_mib} MiB on {setting.platform.value}")
    least = findings.least_memory_mib
    if isinstance(outcome, Refusal):
        yield from _wrapped(f"refused, exit code {outcome.exit_code}: {outcome.text}")
    else:
        yield from _wrapped(f"started by {outcome.method} ({image.why})")
    if least is not None:
        yield from _wrapped(f"the smallest guest that will do has {least} MiB")
    if not isinstance(outcome, Refusal):
        yield from _plan(outcome, setting.reserved)
    others = [(other.option, other.outcome) for other in findings.alternatives]
    fine = [(option, found) for option, found in others if isinstance(found, str)]
    if fine:
        yield from ("", "It could also be started with")
        width = max(len(option) for option, _ in fine)
        for option, method in fine:
            yield from _wrapped(f"{option:<{width}}  {method}", width + 2)
    refused = [(option, found) for option, found in others if isinstance(found, Refusal)]
    if refused:
        yield from ("", "Refused would be")
        for option, refusal in refused:
            yield f"{_INDENT}{option}"
            yield from _wrapped(refusal.text, extra=2, first=2)


def _fields(fields: Iterable[Field]) -> Iterator[str]:
    rows = [
        ("" if f.offset is None else f"{f.offset:#x}", f.name, f"{f.value:#x}", f.note)
        for f in fields
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for offset, name, value, note in rows:
        columns = f"{offset:>{widths[0]}}", f"{name:<{widths[1]}}", f"{value:>{widths[2]}}"
        yield from _noted(_INDENT + "  ".join(columns) + "  ", note)


def _plan(plan: Plan, reserved: Iterable[Reservation]) -> Iterator[str]:
    rows = [_placed_row(entry) for entry in placed(plan)]
    kept = [(entry.range, _UNTIL[entry.until], "", entry.owner) for entry in reserved]
    yield from ("", "Taken by the platform")
    yield from _table(kept)
    yield from ("", "Placed")
    yield from _table(rows)
    state = entry_state(plan)
    if state is None:
        yield from ("", "At the BEV QEMU's option ROM reads the rest from fw_cfg")
        return
    if isinstance(plan, BootPlan):
        yield from ("", "At the BEV the BIOS extension")
        for number, step in enumerate(steps(plan.block), 1):
            yield from _wrapped(f"{number}. {_step(step)}", 3)
    else:
        yield from ("", "The vCPU")
    mode, registers = state
    yield from _wrapped(f"enters in {_MODES[mode]}" + (":" if registers else ""))
    digits = 4 if mode == "real" else 8
    shown = " ".join(f"{name}={value:0{digits}x}" for name, value in registers.items())
    yield from _wrapped(shown, first=3, extra=3)


def _placed_row(entry: PlacedRange) -> tuple[GpaRange, str, str, str]:
    return entry.range, _WHEN[entry.when], entry.name, entry.reason


def _table(rows: Iterable[tuple[GpaRange, str, str, str]]) -> Iterator[str]:
    """Rows as columns."""
    rows = list(rows)
    when_width = max(len(when) for _, when, _, _ in rows)
    name_width = max(len(name) for _, _, name, _ in rows)
    for where, when, name, note in rows:
        front = (
            f"{_INDENT}{where.start:08x}-{where.end:08x} {size_text(where.size):>10}  "
            f"{when:<{when_width}}  " + (f"{name:<{name_width}}  " if name_width else "")
        )
        yield from _noted(front, note)


def _noted(front: str, note: str) -> list[str]:
    """`note` behind `front`; what is too long for the line goes on under itself."""
    lines = textwrap.wrap(note, WIDTH, initial_indent=front, subsequent_indent=" " * len(front))
    return lines or [front.rstrip()]


def _step(step: dict[str, Any]) -> str:
    match step["step"]:
        case "copy":
            start, size = step["start"], step["size"]
            return f"copies {start:08x}-{start + size:08x} ({size_text(size)}) to {step['to']:08x}"
        case "zero":
            start, size = step["start"], step["size"]
            return f"zeroes {start:08x}-{start + size:08x} ({size_text(size)})"
        case "e820":
            return (
                f"asks firmware for the memory map: up to {step['max_records']} records of "
                f"{step['record_bytes']} bytes to {step['to']:08x}, their number to "
                f"{step['count_to']:08x}"
            )
        case _:
            return f"stores the address of the ACPI tables at {step['to']:08x}"


def _wrapped(text: str, extra: int = 0, first: int = 0) -> list[str]:
    """text: one paragraph. extra, first: columns of indent more, of its later lines and first."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=_INDENT + " " * first,
        subsequent_indent=_INDENT + " " * extra,
    )
