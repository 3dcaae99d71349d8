"""The guest's memory map as lines of text: what lies where, before the moves and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from handoff.addresses import GIB, KIB, MIB, GpaRange
from handoff.descriptor import Descriptor
from handoff.platforms import Until
from handoff.report import Report, When


@dataclass(frozen=True, slots=True)
class Row:
    range: GpaRange
    what: str
    note: str


def size_text(size: int) -> str:
    """`size` bytes for a person: `13.5 MiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} B"


def before(descriptor: Descriptor) -> tuple[Row, ...]:
    """As the toolstack left it: reserved ranges and staged images."""
    rows = [
        Row(entry.range, entry.owner, "until the BEV" if entry.until is Until.BEV else "reserved")
        for entry in descriptor.reserved
    ]
    rows += [
        Row(image.range, image.role.value, f"staged, digest {image.digest.hex()[:8]}")
        for image in descriptor.images
    ]
    return tuple(sorted(rows, key=lambda row: row.range))


def after(report: Report) -> tuple[Row, ...]:
    """As the device model leaves it: what lies there now, what the BIOS extension will put
    there, what the kernel takes when it runs."""
    notes = {
        When.NOW: "in place",
        When.BEV: "by the BIOS extension",
        When.RUN: "kept free",
    }
    return tuple(
        Row(placed.range, placed.name, f"{notes[placed.when]}: {placed.reason}")
        for placed in sorted(report.placements, key=lambda placed: placed.range)
    )


def lines(rows: Iterable[Row]) -> tuple[str, ...]:
    """Rows as aligned text, ascending."""
    rows = tuple(rows)
    width = max((len(row.what) for row in rows), default=0)
    return tuple(
        f"{row.range.start:#011x} - {row.range.end:#011x} {size_text(row.range.size):>9}  "
        f"{row.what:<{width}}  {row.note}"
        for row in rows
    )
