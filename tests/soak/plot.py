"""Samples as an SVG: a panel for each quantity, drawn with a dozen lines of our own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.handoffs import Sample

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 150, 64, 150, 34, 26
_COLOURS = ("#1f5fa8", "#c2571a")


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    lines: Sequence[Line]


def panels(samples: Sequence[Sample], window: int) -> tuple[Panel, ...]:
    """window: handoffs whose median is one point."""

    def median(values: Sequence[float]) -> tuple[float, ...]:
        portions = (values[at : at + window] for at in range(0, len(values), window))
        return tuple(statistics.median(portion) for portion in portions)

    daemon, toolstack = [s.daemon for s in samples], [s.toolstack for s in samples]
    return (
        Panel(
            "resident memory, MiB",
            (
                Line("xenstored", median([use.rss_kib / 1024 for use in daemon])),
                Line("toolstack", median([use.rss_kib / 1024 for use in toolstack])),
            ),
        ),
        Panel(
            "open descriptors",
            (
                Line("xenstored", median([use.descriptors for use in daemon])),
                Line("toolstack", median([use.descriptors for use in toolstack])),
            ),
        ),
        Panel(
            "threads",
            (
                Line("xenstored", median([use.threads for use in daemon])),
                Line("toolstack", median([use.threads for use in toolstack])),
            ),
        ),
        Panel(
            f"one handoff, ms, medians of {window}" if window > 1 else "one handoff, ms",
            (
                Line("time", median([s.milliseconds for s in samples])),
                Line("CPU time", median([s.cpu_milliseconds for s in samples])),
            ),
        ),
    )


def svg(shown: Sequence[Panel], count: int, of: str = "handoffs") -> str:
    """The picture; so many of these from left to right."""
    height = _PANEL * len(shown) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(shown):
        parts += _panel(panel, number * _PANEL, count, of)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis_end(most: float) -> float:
    """A round number above `most`, its half being one, too."""
    ten = 10 ** math.floor(math.log10(max(most, 1)))
    ends = (step * ten for step in (1, 1.2, 1.6, 2, 4, 6, 8, 10, 12))
    return next(end for end in ends if end > most * 1.05 and end % 2 == 0)


def _panel(panel: Panel, top: int, count: int, of: str) -> list[str]:
    left, right = _LEFT, _WIDTH - _RIGHT
    high, low = top + _TOP, top + _PANEL - _BOTTOM
    most = _axis_end(max(max(line.values) for line in panel.lines))
    parts = [f'<text x="{left}" y="{high - 12}" font-weight="bold">{panel.title}</text>']
    for share in (0.0, 0.5, 1.0):
        y = low - (low - high) * share
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        label = f"{most * share:,.0f}"
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for at, text in ((0, "0"), (count / 2, of), (count, f"{count:,}")):
        x = left + (right - left) * at / count
        parts.append(f'<text x="{x:.0f}" y="{low + 16}" text-anchor="middle">{text}</text>')
    names = sorted(range(len(panel.lines)), key=lambda n: -panel.lines[n].values[-1])
    for number, (line, colour) in enumerate(zip(panel.lines, _COLOURS, strict=False)):
        step = (right - left) / max(1, len(line.values) - 1)
        points = " ".join(
            f"{left + step * at:.1f},{low - (low - high) * value / most:.1f}"
            for at, value in enumerate(line.values)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        y = high + 12 + 18 * names.index(number)
        last = f"{line.values[-1]:.0f}"
        parts.append(f'<text x="{right + 10}" y="{y}" fill="{colour}">{line.name}, {last}</text>')
    return parts
