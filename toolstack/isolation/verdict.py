"""What is said of an attempt once it was made."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What a row says. Only the first three are well."""

    STOPPED = "stopped"
    ALLOWED = "allowed"
    UNPROVEN = "stopped, unproven"
    """nothing got through, and it could not be shown that it would without the barrier"""
    THROUGH = "GOT THROUGH"
    DENIED = "DENIED"
    """what is its right was refused"""
    HUNG = "HUNG"

    @property
    def well(self) -> bool:
        return self in (Verdict.STOPPED, Verdict.ALLOWED, Verdict.UNPROVEN)


STYLES = {
    Verdict.STOPPED: "green",
    Verdict.ALLOWED: "cyan",
    Verdict.UNPROVEN: "yellow",
    Verdict.THROUGH: "bold red",
    Verdict.DENIED: "bold red",
    Verdict.HUNG: "bold red",
}
"""Colours, as rich names them."""


def word(verdict: Verdict) -> str:
    """As the tables have it."""
    return "stopped *" if verdict is Verdict.UNPROVEN else verdict.value
