"""Events that an unprivileged client leaves unread for too long are dropped.

Source: C xenstored since 4.17, its option `-w watch-event=SECONDS`, 20 by default.
"""

from math import inf
from typing import Final

from xenstore_sim.store.connection import Connection
from xenstore_sim.store.watches import ConnId

WATCH_TIMEOUT_S: Final = 20.0


class Expiry:
    """The clients that did not take all they were sent. Those that read never come here."""

    __slots__ = ("_aging", "_fresh", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: 0 lets events wait for ever."""
        self._timeout_s = timeout_s
        self._fresh: dict[ConnId, Connection] = {}
        """Blocked since the last tick."""
        self._aging: dict[ConnId, Connection] = {}

    def blocked(self, conn: Connection) -> None:
        """The client took less than there is; dom0 may take its time."""
        if self._timeout_s and not conn.identity.privileged:
            self._fresh[conn.id] = conn

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; minus infinity: it has to hear the time first."""
        if self._fresh:
            return -inf
        if not self._aging:
            # Asked before each wait of the shell.
            return None
        deadlines = (conn.outbox.expires for conn in self._aging.values())
        return min((each for each in deadlines if each is not None), default=None)

    def tick(self, now: float) -> list[tuple[Connection, int]]:
        """Connections that lost events whose time was up, and how many each."""
        for conn_id, conn in self._fresh.items():
            conn.outbox.let_expire(now + self._timeout_s)
            self._aging[conn_id] = conn
        self._fresh.clear()
        lost = []
        for conn_id, conn in tuple(self._aging.items()):
            if count := conn.outbox.expire(now):
                lost.append((conn, count))
            if conn.outbox.expires is None:
                del self._aging[conn_id]
        return lost
