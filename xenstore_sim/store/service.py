"""Whose requests are handled now, who has to wait, and who is ended."""

from collections.abc import Callable
from functools import partial

from xenstore_sim.store import lifecycle
from xenstore_sim.store.call import World
from xenstore_sim.store.commands import Close, Command, Ignore
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.dispatch import answer
from xenstore_sim.store.memory import memory_of_connection, note_stall
from xenstore_sim.store.outbox import REPLY_BYTES_MAX
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.layout import Packet

Answer = Callable[[Connection, Packet], None]
"""Does what a packet asks: its events and its reply are in the outboxes then."""


class Service:
    """Takes requests from connections, in turn and within their quotas."""

    __slots__ = ("_answer", "_stalled", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._stalled: dict[ConnId, None] = {}
        """Domains whose requests wait for replies or events to be taken, or for memory."""
        self.answer_by(None)

    def answer_by(self, other: Answer | None) -> None:
        """Let requests be answered by this from now on; None: as they should be."""
        self._answer: Answer = other or partial(answer, self._world)

    @property
    def some_wait(self) -> bool:
        """Whether `commands` may let someone go on."""
        return bool(self._stalled)

    def wants_input(self, conn: Connection) -> bool:
        """Whether to read from this client."""
        return (
            conn.outbox.waiting < REPLY_BYTES_MAX
            and conn.id not in self._stalled
            and not conn.broken
            and not conn.held
        )

    def handle(self, conn: Connection) -> None:
        """Answer the requests of this client that are there, as far as it may go on."""
        next_packet, notifier = conn.decoder.next_packet, self._world.notifier
        try:
            serves = self._listens(conn)
            while serves and (packet := next_packet()) is not None:
                self._answer(conn, packet)
                if notifier.deaf:
                    self._end_deaf()
                serves = self._serves(conn)
        except ProtocolViolation:
            self.violate(conn)
        if conn.broken:
            return
        if not conn.identity.privileged:
            waiting = conn.outbox.replies + conn.outbox.unfinished
            if waiting > conn.account.most.get("outstanding", 0):
                conn.account.most["outstanding"] = waiting
            if not serves:
                if conn.id not in self._stalled:
                    note_stall(self._world, conn)
                self._stalled[conn.id] = None

    def release(self, conn_id: ConnId, reply: bytes) -> None:
        """Answer the request that this client is held for, and those behind it."""
        conn = self._world.connections.get(conn_id)
        if conn is not None:
            conn.held = False
            conn.outbox.put_reply(reply)
            self._world.notifier.woken[conn.id] = conn.send
            self.handle(conn)

    def violate(self, conn: Connection) -> None:
        """End a connection whose client broke the protocol; a ring is ignored instead."""
        self._world.counters.violations += 1
        if conn.ring:
            lifecycle.ignore_connection(self._world, conn.id)
            self._world.commands.append(Ignore(conn.id))
        else:
            self._end(conn.id)

    def commands(self) -> tuple[Command, ...]:
        """What the shell is to do now, after those went on who need not wait any more."""
        world, notifier = self._world, self._world.notifier
        if notifier.deaf:
            self._end_deaf()
        if self._stalled:
            self._resume()
        if not world.commands and not notifier.woken:
            return ()
        commands = (*world.commands, *notifier.woken.values())
        world.commands.clear()
        notifier.woken.clear()
        return commands

    def _serves(self, conn: Connection) -> bool:
        """Whether the next request of this client may be handled."""
        if conn.broken or conn.held or conn.outbox.waiting >= REPLY_BYTES_MAX:
            return False
        if conn.identity.privileged:
            return True
        bound, outbox = self._world.quotas_of(conn.identity.domid).outstanding, conn.outbox
        return not bound or outbox.replies + outbox.unfinished < bound

    def _listens(self, conn: Connection) -> bool:
        """Whether anything is taken from this client now.

        Its memory is looked at here, once for all requests that come together: those that would
        need more of it are refused.
        """
        if not self._serves(conn):
            return False
        if conn.identity.privileged:
            return True
        bound = self._world.quotas_of(conn.identity.domid).memory
        return not bound or memory_of_connection(self._world, conn) < bound

    def _resume(self) -> None:
        """Let those go on who had to wait; that may free others."""
        resumed = True
        while resumed:
            resumed = False
            for conn_id in tuple(self._stalled):
                conn = self._world.connections.get(conn_id)
                if conn is None or conn.broken:
                    del self._stalled[conn_id]
                elif self._listens(conn):
                    resumed = True
                    del self._stalled[conn_id]
                    # Even with nothing to send: the shell is to read from it again.
                    self._world.notifier.woken[conn_id] = conn.send
                    self.handle(conn)

    def _end_deaf(self) -> None:
        for conn_id in tuple(self._world.notifier.deaf):
            world = self._world
            world.counters.slow_clients += 1
            conn = world.connections[conn_id]
            world.log.say_seldom(
                f"{conn.name} is ended: it did not read, {conn.outbox.waiting} bytes waited",
                world.counters.slow_clients,
            )
            self._end(conn_id)

    def _end(self, conn_id: ConnId) -> None:
        lifecycle.end_connection(self._world, conn_id)
        self._world.commands.append(Close(conn_id))
