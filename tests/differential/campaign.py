"""How many conversations are held, and what was counted of them."""

import os
import time
from dataclasses import dataclass, field
from typing import Final

CONVERSATIONS: Final = int(os.environ.get("DIFFERENTIAL_CONVERSATIONS", "300"))
"""Of each test."""


@dataclass
class Tally:
    """Of all conversations of a test run."""

    conversations: int = 0
    requests: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    def count(self, requests: int) -> None:
        """A conversation more."""
        self.conversations += 1
        self.requests += requests
        self.ended = time.monotonic()

    def __str__(self) -> str:
        minutes = (self.ended - self.began) / 60
        return (
            f"{self.conversations} conversations of {self.requests} requests,"
            f" {self.conversations / minutes:.0f} a minute"
        )
