"""The restrictions a process puts on itself before it touches anything untrusted."""

from handoff.confinement.launch import spawn
from handoff.confinement.layers import ConfinementError, Layer, Mode, Outcome, Report, State
from handoff.confinement.limits import address_space_for
from handoff.confinement.privileges import Identity
from handoff.confinement.profiles import Profile
from handoff.confinement.seccomp import Violation
from handoff.confinement.sequence import Prepared, confine, prepare

__all__ = [
    "ConfinementError",
    "Identity",
    "Layer",
    "Mode",
    "Outcome",
    "Prepared",
    "Profile",
    "Report",
    "State",
    "Violation",
    "address_space_for",
    "confine",
    "prepare",
    "spawn",
]
