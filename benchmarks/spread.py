"""How far repeated measurements lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, middle and largest of some numbers."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Of at least one value."""
        ordered = sorted(values)
        return cls(ordered[0], statistics.median(ordered), ordered[-1])

    def text(self, decimals: int) -> str:
        """`min 1.00  median 2.00  max 3.00`"""
        return (
            f"min {self.least:.{decimals}f}  "
            f"median {self.median:.{decimals}f}  "
            f"max {self.most:.{decimals}f}"
        )
