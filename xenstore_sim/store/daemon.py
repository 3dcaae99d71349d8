"""A whole xenstore daemon without I/O: bytes of connections in, commands for a shell out."""

from collections.abc import Iterator
from typing import Final

from xenstore_sim.store import lifecycle
from xenstore_sim.store.access import Identity
from xenstore_sim.store.commands import Command, OpenDomain
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.counters import Statistics
from xenstore_sim.store.dispatch import reply_at_once
from xenstore_sim.store.domains import DomainExists, every_domain_exists
from xenstore_sim.store.expiry import Expiry
from xenstore_sim.store.faults import FaultPlan, InjectedFault
from xenstore_sim.store.injection import FaultLog, Injector
from xenstore_sim.store.live_update import Successor
from xenstore_sim.store.log import LogFile, NoLogFile
from xenstore_sim.store.node import Node
from xenstore_sim.store.outbox import PACKETS_AT_ONCE
from xenstore_sim.store.service import Service
from xenstore_sim.store.settings import Settings
from xenstore_sim.store.summary import Thresholds, summary
from xenstore_sim.store.watches import ConnId
from xenstore_sim.store.world import fresh_world
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId

__all__ = ["Daemon", "Settings"]

_DOM0: Final = Identity(DOM0)


class Daemon:
    """Every call that returns commands wants them carried out, in order, before the next call."""

    __slots__ = ("_expiry", "_fault_log", "_injector", "_plan", "_service", "last_conn", "world")

    def __init__(
        self,
        settings: Settings | None = None,
        domain_exists: DomainExists = every_domain_exists,
        log_file: LogFile | None = None,
    ) -> None:
        """A daemon with the store of a fresh one. log_file: None: it cannot write files."""
        settings = settings or Settings()
        self.world = fresh_world(settings, domain_exists, log_file or NoLogFile())
        """Its state, for who saves or restores it."""
        self._service = Service(self.world)
        self.last_conn = ConnId(0)
        """The id that was given last; likewise."""
        self._expiry = Expiry(settings.watch_timeout_s)
        self._fault_log = FaultLog()
        self._injector: Injector | None = None
        self._plan: FaultPlan | None = None
        self.inject(settings.faults)

    # -- connections

    def connect(
        self, domid: DomId | None = None, *, ring: bool = False, spared: bool = False
    ) -> ConnId | None:
        """A new connection; None: refused, because the domain has one already or is not served.

        domid: who it is; None: a client of the privileged socket, which is dom0.
        ring: it is the domain's shared page, which cannot be closed.
        spared: no injected fault meets it.
        """
        world = self.world
        domain = None if domid is None else world.domains.introduced(domid)
        if domid is not None and (domid in world.by_domain or domain is None):
            world.counters.refused_connections += 1
            return None
        identity = _DOM0 if domain is None else Identity(domain.domid, domain.target)
        self.last_conn = ConnId(self.last_conn + 1)
        account = world.accounts.of(identity.domid)
        conn = Connection(self.last_conn, identity, account, ring=ring, spared=spared)
        world.connections[conn.id] = conn
        world.log.connection(conn, "connects")
        if domid is not None:
            world.by_domain[domid] = self.last_conn
        return self.last_conn

    def feed(self, conn_id: ConnId, data: bytes) -> tuple[Command, ...]:
        """Take what a client sent, in portions of any size.

        Pass on its own `output` after that: no command asks for it. Feed more only while
        `wants_input` says so: that is what bounds the memory of a client.
        """
        conn = self.world.connections.get(conn_id)
        if conn is None:
            return ()
        conn.decoder.feed(data)
        self._service.handle(conn)
        self.world.notifier.woken.pop(conn_id, None)
        return self._service.commands()

    def reply_at_once(self, conn_id: ConnId, data: bytes) -> bytes | None:
        """The reply to what a client sent, which goes out ahead of any `output`.

        Empty: it is part of the output. None: nothing is done, `feed` it: it is not one whole
        request of dom0 in its usual form, or something else goes on. What comes of the request
        besides is among the next `commands`.
        """
        conn = self.world.connections.get(conn_id)
        if conn is None or self._injector is not None:
            return None
        return reply_at_once(self.world, conn, data)

    def keep(self, conn_id: ConnId, reply: bytes, sent: int) -> None:
        """Of what `reply_at_once` gave only so many bytes are sent: the rest is output."""
        conn = self.world.connections.get(conn_id)
        if conn is not None:
            conn.outbox.put_back(reply, sent)

    def commands(self) -> tuple[Command, ...]:
        """What came of replies at once."""
        return self._service.commands()

    def output(self, conn_id: ConnId, packets: int = PACKETS_AT_ONCE) -> bytes:
        """What to send next on this connection; nothing when no output waits.

        packets: at most these many; a transport that takes little at once asks for few.
        """
        conn = self.world.connections.get(conn_id)
        if conn is None or not conn.outbox.waiting:
            return b""
        if self._injector is not None and self._injector.mutes(conn):
            return b""
        return conn.outbox.pending(packets)

    def sent(self, conn_id: ConnId, size: int) -> tuple[Command, ...]:
        """The first `size` bytes of the output are sent: requests that waited for that go on.

        Ask for its `output` again: no command does.
        """
        self.took(conn_id, size)
        return self.go_on(conn_id)

    def took(self, conn_id: ConnId, size: int) -> bool:
        """The first `size` bytes of the output are sent, and no request is handled; False: there
        is more output, or somebody who may `go_on`.

        Where several were sent their output at once, to be said of each of them before any goes
        on: a request may drop what waits for others.
        """
        conn = self.world.connections.get(conn_id)
        if conn is None:
            return False
        conn.outbox.take(size)
        return not (conn.outbox.waiting or conn.decoder.buffered or self._service.some_wait)

    def go_on(self, conn_id: ConnId) -> tuple[Command, ...]:
        """Handle requests that waited for their client, or another one, to take output."""
        conn = self.world.connections.get(conn_id)
        if conn is not None and conn.decoder.buffered:
            self._service.handle(conn)
        elif not self._service.some_wait:
            return ()
        return self._service.commands()

    def wants_input(self, conn_id: ConnId) -> bool:
        """Whether the shell should read from this client: it takes its replies."""
        conn = self.world.connections.get(conn_id)
        return conn is not None and self._service.wants_input(conn)

    def awaits_message(self, conn_id: ConnId) -> bool:
        """Whether the next byte of this client begins a message, and it may send one."""
        conn = self.world.connections.get(conn_id)
        return conn is not None and not conn.decoder.buffered and self._service.wants_input(conn)

    def missing_input(self, conn_id: ConnId) -> int:
        """Bytes that this client's next header or message lacks, when it may send one; else 0.

        A transport whose client sees how far it was read reads no further.
        """
        conn = self.world.connections.get(conn_id)
        return 0 if conn is None or not self._service.wants_input(conn) else conn.decoder.missing

    def disconnect(self, conn_id: ConnId) -> tuple[Command, ...]:
        """The client is gone; nothing happens when the core ended the connection itself.

        A ring that broke the protocol stays ignored: that ends with its domain only.
        """
        conn = self.world.connections.get(conn_id)
        if conn is not None and not conn.broken:
            lifecycle.end_connection(self.world, conn_id)
        return self._service.commands()

    def broke_ring(self, conn_id: ConnId) -> tuple[Command, ...]:
        """The client wrote into its ring what no client may; it is ignored from now on."""
        conn = self.world.connections.get(conn_id)
        if conn is not None:
            self._service.violate(conn)
        return self._service.commands()

    def ring_features(self, domid: DomId) -> int | None:
        """The bits that its ring offers this domain; None in releases that write none."""
        domain = self.world.domains.get(domid)
        if domain is None or not self.world.compat.ring_features:
            return None
        return domain.features

    def refuse_connection(self) -> None:
        """Count a connection that the shell had to turn away."""
        self.world.counters.refused_connections += 1

    # -- time

    def blocked(self, conn_id: ConnId) -> None:
        """The client took less than `output` had: its events grow old from now on."""
        conn = self.world.connections.get(conn_id)
        if conn is not None:
            self._expiry.blocked(conn)

    def next_deadline(self) -> float | None:
        """When the core wants `tick`, on the clock of its `now`; None: it does not.

        Minus infinity: at once, it has something to measure and does not know the time.
        """
        deadline = self._expiry.next_deadline()
        if self._injector is None:
            return deadline
        other = self._injector.next_deadline()
        return min((each for each in (deadline, other) if each is not None), default=None)

    def tick(self, now: float) -> tuple[Command, ...]:
        """The time, in seconds of any clock that does not go back: what is due happens."""
        for conn, events in self._expiry.tick(now):
            self.world.counters.events_expired += events
            # Room for replies may have come of it: the shell is to look whether to read on.
            self.world.notifier.woken[conn.id] = conn.send
            self._service.handle(conn)
        if self._injector is not None:
            self._injector.tick(now)
        return self._service.commands()

    # -- faults

    def inject(self, plan: FaultPlan | None) -> tuple[Command, ...]:
        """Do wrong from now on what the plan says, and nothing else; None: nothing at all."""
        self._begin_faults(plan)
        return self._service.commands()

    def _begin_faults(self, plan: FaultPlan | None) -> None:
        if self._injector is not None:
            self._injector.end()
        self._plan = plan
        self._injector = None if plan is None else Injector(self.world, plan, self._fault_log)
        self._service.answer_by(None if self._injector is None else self._injector.answer)

    def injected_faults(self) -> tuple[InjectedFault, ...]:
        """The last faults that were injected, oldest first; their numbers tell of those before."""
        return tuple(self._fault_log.last)

    # -- handing on

    def let_go(self) -> tuple[Command, ...]:
        """Deliver what injected faults keep back, and go on injecting."""
        if self._injector is not None:
            self._begin_faults(self._plan)
        return self._service.commands()

    def resume(self) -> tuple[Command, ...]:
        """Go on where a restored state was left."""
        world = self.world
        world.commands += (OpenDomain(each.domid) for each in world.domains if each.introduced)
        for conn in tuple(world.connections.values()):
            # Even with nothing to send: the shell is to look whether to read from it.
            world.notifier.woken[conn.id] = conn.send
            if len(conn.outbox):
                # It waits from now on, whatever it waited before.
                self._expiry.blocked(conn)
            self._service.handle(conn)
        return self._service.commands()

    def connections(self) -> tuple[ConnId, ...]:
        """Those that are open."""
        return tuple(self.world.connections)

    def domid_of(self, conn_id: ConnId) -> DomId:
        """Who this connection is."""
        return self.world.connections[conn_id].identity.domid

    def is_broken(self, conn_id: ConnId) -> bool:
        """Whether this connection is ignored."""
        return self.world.connections[conn_id].broken

    def succeeded_by(self, successor: Successor) -> None:
        """Let CONTROL live-update put another program in this one's place."""
        self.world.live_update.successor = successor

    def live_update(self) -> str | None:
        """Let this program's like take its place; why that is not even tried."""
        return self.world.live_update.now()

    def not_succeeded(self, reason: str) -> tuple[Command, ...]:
        """The program that was to take this one's place does not; tell who asked for it.

        reason: in ASCII; of a long one its end is told.
        """
        asker = self.world.live_update.failed()
        if asker is not None:
            self._service.release(asker.conn, asker.reply(reason))
        return self._service.commands()

    # -- the hypervisor

    def set_domain_exists(self, exists: DomainExists) -> None:
        """Ask this from now on whether the hypervisor has a domain."""
        self.world.domains.exists = exists

    def domain_destroyed(self, domid: DomId) -> tuple[Command, ...]:
        """The hypervisor reports that the domain is gone: its nodes go too."""
        domain = self.world.domains.get(domid)
        if domain is not None:
            lifecycle.destroyed(self.world, domain)
        return self._service.commands()

    def domain_shut_down(self, domid: DomId) -> tuple[Command, ...]:
        """The hypervisor reports that the domain stopped and is still there."""
        domain = self.world.domains.get(domid)
        if domain is not None:
            lifecycle.shut_down(self.world, domain)
        return self._service.commands()

    # -- people

    def statistics(self) -> Statistics:
        """What happened so far."""
        world = self.world
        return world.counters.statistics(
            connections=len(world.connections), watches=len(world.watches), nodes=len(world.tree)
        )

    def summary(self) -> str:
        """The same for people, and who is a burden on the daemon; several lines."""
        return summary(self.world, Thresholds())

    def log_to(self, path: str) -> None:
        """Write what is said to this file from now on, as CONTROL logfile would."""
        self.world.log.open(path)

    def say(self, text: str) -> None:
        """Tell the operator, and the log if it is on."""
        self.world.log.say(text)

    def nodes(self) -> Iterator[tuple[AbsolutePath, Node]]:
        """The store, parents first, for as long as it does not change."""
        return self.world.tree.walk()
