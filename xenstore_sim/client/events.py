"""Watch events on their way from the stream to whoever reads the watch; no I/O."""

from collections import deque
from dataclasses import dataclass

from xenstore_sim.wire.errors import EventsLost
from xenstore_sim.wire.names import Token


@dataclass(frozen=True, slots=True)
class Event:
    """Something changed at or below a watched path."""

    path: str
    """What changed: absolute, or relative where the watch was."""
    token: Token


class EventBuffer:
    """Unread events of one watch, each path once: who reads it looks at its newest state."""

    __slots__ = ("_bound", "_lost", "_queue", "path", "token")

    def __init__(self, path: str, token: Token, bound: int) -> None:
        """bound: events, at least 1."""
        self.path = path
        self.token = token
        self._bound = bound
        self._queue: deque[Event] = deque()
        self._lost = False

    def covers(self, path: str) -> bool:
        """Whether an event at this path can stem from this watch."""
        return path == self.path or self.path == "/" or path.startswith(f"{self.path}/")

    def put(self, event: Event) -> None:
        """Add an event, unless one at this path waits already."""
        if event in self._queue:
            return
        if len(self._queue) >= self._bound:
            self._lost = True
        else:
            self._queue.append(event)

    def get(self) -> Event:
        """The oldest unread event, of at least one. Raises: EventsLost, once, after overflow."""
        if self._lost and not self._queue:
            self._lost = False
            raise EventsLost(self.path, self._bound)
        return self._queue.popleft()

    @property
    def ready(self) -> bool:
        """Whether `get` has something to say."""
        return bool(self._queue) or self._lost
