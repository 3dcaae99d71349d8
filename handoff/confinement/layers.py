"""The layers of confinement, and what came of each: the report a confined process prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["ConfinementError", "Layer", "Mode", "Outcome", "Report", "State"]

_LAYER_COLUMN = 18
_STATE_COLUMN = 12


class Mode(Enum):
    """How much of the confinement the operator insists on (`--sandbox`)."""

    STRICT = "strict"
    AUTO = "auto"
    OFF = "off"


class Layer(Enum):
    """One restriction, in the order in which they are applied and reported."""

    DESCRIPTORS = "descriptors"
    IDENTITY = "identity"
    USER_NAMESPACE = "user namespace"
    MOUNT_NAMESPACE = "mount namespace"
    IPC_NAMESPACE = "ipc namespace"
    NET_NAMESPACE = "net namespace"
    UTS_NAMESPACE = "uts namespace"
    CGROUP_NAMESPACE = "cgroup namespace"
    PID_NAMESPACE = "pid namespace"
    CAPABILITIES = "capabilities"
    RLIMITS = "rlimits"
    NO_DUMP = "no dump"
    PARENT_DEATH = "parent death"
    NO_NEW_PRIVS = "no new privs"
    LANDLOCK_FILES = "landlock files"
    LANDLOCK_TCP = "landlock tcp"
    LANDLOCK_SCOPES = "landlock scopes"
    SECCOMP = "seccomp"


class State(Enum):
    """What became of a layer."""

    APPLIED = "applied"
    UNAVAILABLE = "unavailable"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A layer, what became of it, and the detail or the reason in a few words."""

    layer: Layer
    state: State
    detail: str

    def line(self) -> str:
        """One line for the log, in columns."""
        return (
            f"{self.layer.value:<{_LAYER_COLUMN}}{self.state.value:<{_STATE_COLUMN}}{self.detail}"
        ).rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of every layer, each exactly once, in the order of `Layer`."""

    outcomes: tuple[Outcome, ...]

    def __post_init__(self) -> None:
        assert tuple(outcome.layer for outcome in self.outcomes) == tuple(Layer)

    def outcome(self, layer: Layer) -> Outcome:
        """What became of `layer`."""
        return next(outcome for outcome in self.outcomes if outcome.layer is layer)

    def in_state(self, state: State) -> tuple[Outcome, ...]:
        """The outcomes in `state`, in order."""
        return tuple(outcome for outcome in self.outcomes if outcome.state is state)

    @property
    def complete(self) -> bool:
        """Whether nothing that was asked for is missing; a layer that is off was not asked for."""
        return not self.in_state(State.UNAVAILABLE)

    def lines(self) -> tuple[str, ...]:
        """One readable line a layer."""
        return tuple(outcome.line() for outcome in self.outcomes)


class ConfinementError(Exception):
    """The process could not be confined as it was told to be; it must not go on.

    report: what each layer came to, where that was reached.
    """

    def __init__(self, reason: str, report: Report | None = None) -> None:
        super().__init__(reason)
        self.report = report
