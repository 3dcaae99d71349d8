"""A whole xenstore daemon without I/O: bytes of connections in, commands for a shell out."""

from dataclasses import dataclass, field

from xenstore_sim.store import lifecycle
from xenstore_sim.store.access import AccessRules, Identity
from xenstore_sim.store.call import World
from xenstore_sim.store.commands import Close, Command, Send
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.counters import Counters, Statistics
from xenstore_sim.store.dispatch import answer
from xenstore_sim.store.domains import DomainExists, Domains, every_domain_exists
from xenstore_sim.store.notifier import Notifier
from xenstore_sim.store.quotas import QuotaRules, Quotas
from xenstore_sim.store.tree import Tree
from xenstore_sim.store.view import DirectView
from xenstore_sim.store.watches import ConnId, Watches
from xenstore_sim.wire.compat import COMPAT_4_20, Compat
from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.names import DOM0, DomId


@dataclass(frozen=True, slots=True)
class Settings:
    """What a daemon is started with."""

    compat: Compat = COMPAT_4_20
    quotas: Quotas = field(default_factory=Quotas)


class Daemon:
    """Every call that returns commands wants them carried out, in order, before the next call."""

    __slots__ = ("_last_conn", "_world")

    def __init__(
        self, settings: Settings | None = None, domain_exists: DomainExists = every_domain_exists
    ) -> None:
        """A daemon with the store of a fresh one."""
        settings = settings or Settings()
        compat, counters = settings.compat, Counters()
        tree = Tree(anyone_sees_release=compat.any_domain)
        domains, watches = Domains(domain_exists), Watches()
        rules = AccessRules(domains, any_domain=compat.any_domain)
        connections: dict[ConnId, Connection] = {}
        notifier = Notifier(
            tree, watches, rules, connections, counters, domid_events=compat.watch_depth
        )
        self._last_conn = ConnId(0)
        self._world = World(
            compat=compat,
            quotas=settings.quotas,
            quota_rules=QuotaRules(compat),
            tree=tree,
            domains=domains,
            rules=rules,
            watches=watches,
            connections=connections,
            by_domain={},
            counters=counters,
            notifier=notifier,
            direct=DirectView(tree, notifier),
            commands=[],
        )

    # -- connections

    def connect(self, domid: DomId | None = None) -> ConnId | None:
        """A new connection; None: refused, because the domain has one already or is not served.

        domid: who it is; None: a client of the privileged socket, which is dom0.
        """
        world = self._world
        if domid is not None and (
            domid in world.by_domain or world.domains.introduced(domid) is None
        ):
            world.counters.refused_connections += 1
            return None
        domain = None if domid is None else world.domains.get(domid)
        identity = Identity(
            DOM0 if domid is None else domid, target=None if domain is None else domain.target
        )
        self._last_conn = ConnId(self._last_conn + 1)
        world.connections[self._last_conn] = Connection(self._last_conn, identity)
        if domid is not None:
            world.by_domain[domid] = self._last_conn
        return self._last_conn

    def feed(self, conn_id: ConnId, data: bytes) -> tuple[Command, ...]:
        """Take what a client sent, in portions of any size.

        Feed more only while `wants_input` says so: that is what bounds the memory of a client.
        """
        conn = self._world.connections.get(conn_id)
        if conn is None:
            return ()
        conn.decoder.feed(data)
        return self._work(conn)

    def output(self, conn_id: ConnId) -> bytes:
        """What to send next on this connection; nothing when no output waits."""
        conn = self._world.connections.get(conn_id)
        return conn.outbox.pending() if conn is not None and len(conn.outbox) else b""

    def sent(self, conn_id: ConnId, size: int) -> tuple[Command, ...]:
        """The first `size` bytes of the output are sent: requests that waited for that go on."""
        conn = self._world.connections.get(conn_id)
        if conn is None:
            return ()
        conn.outbox.take(size)
        return self._work(conn) if conn.decoder.buffered else ()

    def wants_input(self, conn_id: ConnId) -> bool:
        """Whether the shell should read from this client: it takes its replies."""
        conn = self._world.connections.get(conn_id)
        return conn is not None and self._serves(conn)

    def disconnect(self, conn_id: ConnId) -> None:
        """The client is gone; nothing happens when the core ended the connection itself."""
        if conn_id in self._world.connections:
            lifecycle.end_connection(self._world, conn_id)

    def refuse_connection(self) -> None:
        """Count a connection that the shell had to turn away."""
        self._world.counters.refused_connections += 1

    # -- the hypervisor

    def set_domain_exists(self, exists: DomainExists) -> None:
        """Ask this from now on whether the hypervisor has a domain."""
        self._world.domains.exists = exists

    def domain_destroyed(self, domid: DomId) -> tuple[Command, ...]:
        """The hypervisor reports that the domain is gone: its nodes go too."""
        domain = self._world.domains.get(domid)
        if domain is not None:
            lifecycle.destroyed(self._world, domain)
        return self._commands()

    def domain_shut_down(self, domid: DomId) -> tuple[Command, ...]:
        """The hypervisor reports that the domain stopped and is still there."""
        domain = self._world.domains.get(domid)
        if domain is not None:
            lifecycle.shut_down(self._world, domain)
        return self._commands()

    # -- people

    def statistics(self) -> Statistics:
        """What happened so far."""
        world = self._world
        return world.counters.statistics(
            connections=len(world.connections), watches=len(world.watches), nodes=len(world.tree)
        )

    # -- inside

    def _serves(self, conn: Connection) -> bool:
        """Whether the next request of this client may be handled."""
        if conn.broken or conn.outbox.full:
            return False
        if conn.identity.privileged:
            return True
        bound = self._world.quotas_of(conn.identity.domid).outstanding
        return not bound or conn.outbox.replies < bound

    def _work(self, conn: Connection) -> tuple[Command, ...]:
        try:
            while self._serves(conn) and (packet := conn.decoder.next_packet()) is not None:
                answer(self._world, conn, packet)
                self._end_deaf()
        except ProtocolViolation:
            self._world.counters.violations += 1
            self._end(conn.id)
        if not conn.broken and len(conn.outbox):
            self._world.notifier.woken[conn.id] = None
        return self._commands()

    def _end_deaf(self) -> None:
        for conn_id in tuple(self._world.notifier.deaf):
            self._world.counters.slow_clients += 1
            self._end(conn_id)

    def _end(self, conn_id: ConnId) -> None:
        lifecycle.end_connection(self._world, conn_id)
        self._world.commands.append(Close(conn_id))

    def _commands(self) -> tuple[Command, ...]:
        self._end_deaf()
        world = self._world
        commands = (*world.commands, *map(Send, world.notifier.woken))
        world.commands.clear()
        world.notifier.woken.clear()
        return commands
