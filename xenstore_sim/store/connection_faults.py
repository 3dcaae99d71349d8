"""What fault injection keeps for one connection: its dice, late events, and whether it is mute."""

from collections import deque
from dataclasses import dataclass
from math import inf
from random import Random

from xenstore_sim.wire.messages import WatchEvent
from xenstore_sim.wire.names import DomId


@dataclass(slots=True)
class LateEvent:
    """A watch event that is kept back."""

    event: WatchEvent
    always: bool
    """To be sent even when an equal one waits."""
    delay: float
    """Seconds from the moment it was kept."""
    due: float = -inf
    """When it may go; minus infinity: nobody told the time yet."""


class ConnectionFaults:
    """Requests and events have dice of their own: what meets requests depends on no other
    connection."""

    __slots__ = ("_mute", "_muted_until", "events", "late", "name", "requests", "ring")

    def __init__(self, seed: int, domid: DomId, number: int, *, ring: bool) -> None:
        """number: of the domain's connections under this plan, this is the n-th."""
        self.name = f"{f'domain {domid}' if domid else 'dom0'}, connection {number}"
        self.ring = ring
        # Python seeds by the text itself: the same in every process.
        self.requests = Random(f"{seed}/{self.name}/requests")
        self.events = Random(f"{seed}/{self.name}/events")
        self.late: deque[LateEvent] = deque()
        self._mute: float | None = None
        """Seconds to be added once the time is known."""
        self._muted_until: float | None = None

    @property
    def muted(self) -> bool:
        """Whether all output waits."""
        return self._mute is not None or self._muted_until is not None

    def mute(self, seconds: float) -> None:
        """Let the output wait."""
        self._mute = max(seconds, self._mute or 0.0)

    def schedule(self, now: float) -> None:
        """Turn delays into moments; those of events never before the event ahead."""
        if self._mute is not None:
            self._muted_until = max(now + self._mute, self._muted_until or now)
            self._mute = None
        ahead = -inf
        for event in self.late:
            if event.due == -inf:
                event.due = max(now + event.delay, ahead)
            ahead = event.due

    def unmute(self, now: float) -> bool:
        """Whether the output need not wait any more, and had to."""
        if self._muted_until is None or self._muted_until > now:
            return False
        self._muted_until = None
        return True

    def next_deadline(self) -> float:
        """When the next thing is due; minus infinity: the time is not known; infinity: none."""
        if self._mute is not None or (self.late and self.late[-1].due == -inf):
            return -inf
        moments = (self._muted_until, self.late[0].due if self.late else None)
        return min((moment for moment in moments if moment is not None), default=inf)
