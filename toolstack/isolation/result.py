"""What came of an attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attempt; `what` in a few words, often an errno."""

    through: bool
    what: str
    hung: bool = False
