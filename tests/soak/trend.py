"""What became of figures from the beginning of a soak to its end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

_Sample = TypeVar("_Sample")


def higher(
    samples: Sequence[_Sample], counts: Mapping[str, Callable[[_Sample], int]]
) -> tuple[str, ...]:
    """What is higher in the second half than it ever was in the first."""
    half = len(samples) // 2
    return tuple(
        name
        for name, count in counts.items()
        if max(map(count, samples[half:])) > max(map(count, samples[:half]))
    )


def tenths(samples: Sequence[_Sample], rows: Mapping[str, Callable[[_Sample], float]]) -> list[str]:
    """The first and the last tenth beside each other, by medians, as lines of a table."""
    tenth = max(1, len(samples) // 10)
    lines = [f"{'':26}{'first tenth':>12}{'last tenth':>12}"]
    for name, value in rows.items():
        first = statistics.median(map(value, samples[:tenth]))
        last = statistics.median(map(value, samples[-tenth:]))
        lines.append(f"{name:26}{first:12.1f}{last:12.1f}")
    return lines


def verdict(names: Sequence[str]) -> str:
    """The last line: what `higher` found."""
    return f"grown: {', '.join(names) if names else 'nothing'}"
