"""Turns changes into events for those who watch and may know.

Source: docs/misc/xenstore.txt, WATCH; C xenstored for permissions and order.
"""

from collections.abc import Callable, Mapping
from typing import Final

from xenstore_sim.store.access import READ, AccessRules
from xenstore_sim.store.commands import Send
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.counters import Counters
from xenstore_sim.store.log import Log
from xenstore_sim.store.node import Node
from xenstore_sim.store.outbox import EVENT_BYTES_MAX, Outbox, Put, Unfinished
from xenstore_sim.store.tree import Tree
from xenstore_sim.store.watches import ConnId, Watch, Watches
from xenstore_sim.wire.layout import HEADER, PAYLOAD_MAX, Packet
from xenstore_sim.wire.messages import WatchEvent
from xenstore_sim.wire.names import (
    NO_TX,
    DomId,
    NodePath,
    ReqId,
    SpecialPath,
    Token,
    parent,
    special_path,
)
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.payloads import encode_event

# Looked up once: a member of an enum is a call each time.
_QUEUED: Final = Put.QUEUED
_WATCH_EVENT: Final = Op.WATCH_EVENT.value

Divert = Callable[[Connection, WatchEvent, bool], bool]
"""The last is the `always` of `Notifier.put`."""


class Notifier:
    """Puts events into the outboxes of connections, and remembers who got one."""

    __slots__ = (
        "_connections",
        "_counters",
        "_domid_events",
        "_log",
        "_rules",
        "_tree",
        "_watches",
        "asker",
        "deaf",
        "divert",
        "has_room",
        "unfinished",
        "woken",
    )

    def __init__(
        self,
        tree: Tree,
        watches: Watches,
        rules: AccessRules,
        connections: Mapping[ConnId, Connection],
        counters: Counters,
        log: Log,
        *,
        domid_events: bool,
    ) -> None:
        """domid_events: special events come with a domid for watches that can tell them apart."""
        self._tree = tree
        self._watches = watches
        self._rules = rules
        self._connections = connections
        self._counters = counters
        self._log = log
        self._domid_events = domid_events
        self.has_room: Callable[[Connection, int], bool] = lambda conn, size: True
        """Whether an event of so many bytes can wait for this client, unprivileged; else it is
        lost."""
        self.asker: Outbox | None = None
        """Of the unprivileged client whose request is being handled."""
        self.unfinished: Unfinished | None = None
        """That request, when it caused an event for another client."""
        self.woken: dict[ConnId, Send] = {}
        """Connections that got an event; for the daemon to take."""
        self.deaf: dict[ConnId, None] = {}
        """Connections whose outbox had no room for one; for the daemon to end."""
        self.divert: Divert | None = None
        """Of fault injection; True: the event is kept back, to be put later."""

    def node_changed(
        self, path: NodePath, *, exact: bool = False, before: Node | None = None
    ) -> None:
        """Tell of a change at this path; while the node and its parent are still there."""
        concerned = self._watches.concerned(path, exact=exact)
        if not concerned:
            return
        allowed: dict[ConnId, bool] = {}
        # Many clients with the same token are told the same.
        packets: dict[tuple[int, Token], tuple[bytes, bytes]] = {}
        for watch in concerned:
            conn = self._connections[watch.conn]
            if not conn.identity.privileged:
                if watch.conn not in allowed:
                    allowed[watch.conn] = self._may_know(conn, path, before)
                if not allowed[watch.conn]:
                    continue
            watch.fired += 1
            if self.divert is not None:
                self._send(conn, watch, path)
                continue
            told = watch.home_length, watch.token
            encoded = packets.get(told)
            if encoded is None:
                event = WatchEvent(path[watch.home_length :], watch.token)
                encoded = packets[told] = _encoded(event)
            self._queue(conn, *encoded, always=False)

    def domain_changed(self, name: SpecialPath, domid: DomId, *, domid_first: bool = False) -> None:
        """Tell of a domain that came or went. domid_first: as 4.22 orders events of a shutdown."""
        watches = self._readers(name, name)
        plain = (name, [each for each in watches if each.depth is None])
        if not self._domid_events:
            self._send_all(*plain)
            return
        with_domid = special_path(f"{name}/{domid}")
        deep = [each for each in watches if each.depth] + self._readers(with_domid, name)
        deep.sort(key=lambda watch: (watch.conn, watch.serial))
        rounds = (plain, (with_domid, deep))
        for path, concerned in reversed(rounds) if domid_first else rounds:
            self._send_all(path, concerned)

    def first_event(self, conn: Connection, path: str, token: Token) -> None:
        """The event right after WATCH, with the path as the client wrote it."""
        self.put(conn, WatchEvent(path, token), always=path.startswith("@"))

    def _readers(self, path: SpecialPath, name: SpecialPath) -> list[Watch]:
        """Watches on `path` of those who may read the special node `name`."""
        node = self._tree.get(name)
        return [
            watch
            for watch in self._watches.concerned(path, exact=True)
            if node is not None
            and self._rules.rights(node, self._connections[watch.conn].identity) & READ
        ]

    def _send_all(self, path: SpecialPath, watches: list[Watch]) -> None:
        for watch in watches:
            watch.fired += 1
            self._send(self._connections[watch.conn], watch, path, always=True)

    def _may_know(self, conn: Connection, path: NodePath, before: Node | None) -> bool:
        """Whether this unprivileged client may know of the change."""
        who = conn.identity
        if before is not None and self._rules.rights(before, who) & READ:
            return True
        node = self._tree.get(path)
        if node is None:
            return False
        if self._rules.rights(node, who) & READ:
            return True
        above = self._tree.get(parent(path))
        return above is not None and bool(self._rules.rights(above, who) & READ)

    def _send(
        self, conn: Connection, watch: Watch, path: NodePath, *, always: bool = False
    ) -> None:
        self.put(conn, WatchEvent(path[watch.home_length :], watch.token), always=always)

    def put(self, conn: Connection, event: WatchEvent, *, always: bool) -> None:
        """Queue an event for a connection. always: even when the same one waits already."""
        if self.divert is not None and self.divert(conn, event, always):
            return
        self._queue(conn, *_encoded(event), always=always)

    def _queue(self, conn: Connection, packet: bytes, payload: bytes, *, always: bool) -> None:
        if len(payload) > PAYLOAD_MAX:
            return
        if not conn.identity.privileged and not self.has_room(conn, len(packet)):
            self._counters.events_lost += 1
            return
        # What waits in its own outbox is taken before its reply is.
        asker, cause = self.asker, None
        if asker is not None and asker is not conn.outbox:
            cause = self.unfinished or Unfinished(asker)
        put = conn.outbox.put_event(packet, payload, always=always, cause=cause)
        if put is _QUEUED:
            self.unfinished = cause or self.unfinished
            if self._log.io:
                event_packet = Packet(Op.WATCH_EVENT, ReqId(0), NO_TX, payload)
                self._log.message(conn, "!", event_packet)
            self._counters.events += 1
            self.woken[conn.id] = conn.send
        elif put is Put.SUPPRESSED:
            self._counters.events_suppressed += 1
        elif put is Put.UNREAD:
            self._tell_of(conn)
            self._queue(conn, packet, payload, always=always)
        else:
            self.deaf[conn.id] = None

    def _tell_of(self, conn: Connection) -> None:
        """The client lets much wait: name it and what it watches most in vain."""
        conn.outbox.told()
        self._counters.unread += 1
        watches = self._watches.of(conn.id)
        storm = max(watches, key=lambda watch: watch.fired, default=None)
        why = "" if storm is None else f"; its watch on {storm.path} fired {storm.fired} times"
        self._log.say_seldom(
            f"{conn.name} does not read: {conn.outbox.waiting} bytes wait for it, at"
            f" {EVENT_BYTES_MAX} its connection is ended{why}",
            self._counters.unread,
        )


def _encoded(event: WatchEvent) -> tuple[bytes, bytes]:
    """The whole message, and its payload."""
    payload = encode_event(event)
    return HEADER.pack(_WATCH_EVENT, 0, 0, len(payload)) + payload, payload
