"""The guest's memory map as lines of text: what lies where, before the moves and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from handoff.addresses import GpaRange, size_text
from handoff.descriptor import Descriptor
from handoff.platforms import Until
from handoff.report import Report, When


@dataclass(frozen=True, slots=True)
class Row:
    range: GpaRange
    when: str
    """since or until when, one or two words"""
    what: str
    note: str = ""


def before(descriptor: Descriptor) -> tuple[Row, ...]:
    """As the toolstack left it: what is taken, and until when, and the staged images."""
    rows = [
        Row(
            entry.range,
            "until BEV" if entry.until is Until.BEV else "always",
            "reserved",
            entry.owner,
        )
        for entry in descriptor.reserved
    ]
    rows += [
        Row(image.range, "staged", image.role.value, f"digest {image.digest.hex()[:8]}")
        for image in descriptor.images
    ]
    return tuple(sorted(rows, key=lambda row: row.range))


def after(report: Report) -> tuple[Row, ...]:
    """As the device model leaves it: what lies there now, what the BIOS extension will put
    there at the BEV, what is kept free for the kernel to unpack itself."""
    when = {When.NOW: "in place", When.BEV: "at BEV", When.RUN: "kept free"}
    return tuple(
        Row(placed.range, when[placed.when], placed.name, placed.reason)
        for placed in sorted(report.placements, key=lambda placed: placed.range)
    )


def lines(rows: Iterable[Row]) -> tuple[str, ...]:
    """Rows as aligned text."""
    rows = tuple(rows)
    digits = max((len(f"{row.range.end:#x}") for row in rows), default=0)
    when = max((len(row.when) for row in rows), default=0)
    what = max((len(row.what) for row in rows), default=0)
    return tuple(
        (
            f"{row.range.start:#0{digits}x}-{row.range.end:#0{digits}x} "
            f"{size_text(row.range.size):>9}  {row.when:<{when}}  {row.what:<{what}}  {row.note}"
        ).rstrip()
        for row in rows
    )
