"""Conversations with our daemon's core."""

from collections import deque
from collections.abc import Iterable, Sequence

from tests.differential.steps import SOCKETS, Who, ring_of
from tests.oracle.raw_client import HEADER_SIZE, Message, parse
from xenstore_sim.store.commands import Close, CloseDomain, Command, Ignore, OpenDomain
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import RELEASES
from xenstore_sim.wire.names import DomId


class OurSide:
    """The core, in a shell that keeps to the real daemon's pace.

    That one goes round its connections, and takes one request and passes on one packet at a time;
    to a socket header and payload in two rounds. How many equal events meet in a queue, and are
    merged, hangs on that.
    """

    def __init__(self, quotas: Quotas) -> None:
        settings = Settings(compat=RELEASES["4.17"], quotas=quotas, watch_timeout_s=0)
        self._domains = {0}
        self.introduced: set[int] = set()
        """Domains from INTRODUCE to their end, be it late because others hold them."""
        self._daemon = Daemon(settings, self._domains.__contains__)
        self._conns: dict[Who, ConnId] = {}
        self._inputs: dict[Who, deque[bytes]] = {}
        self._heard: dict[Who, bytearray] = {}
        self._ended: set[Who] = set()
        self._headers: set[Who] = set()
        """Sockets that have the header of the next packet."""

    @property
    def rings(self) -> tuple[Who, ...]:
        """Connections of domains that are served."""
        return tuple(who for who in self._conns if who not in SOCKETS and who not in self._ended)

    def connect(self, who: Who) -> None:
        """Open a socket."""
        self._open(who, self._daemon.connect())

    def hang_up(self, who: Who) -> None:
        """Close a socket."""
        self._daemon.disconnect(self._conns.pop(who))

    def say(self, who: Who, messages: Sequence[bytes]) -> None:
        """Send messages in one write, and wait until all are done."""
        self._inputs[who].extend(messages)
        self._go_round()

    def hear(self, who: Iterable[Who]) -> dict[Who, tuple[Message, ...] | None]:
        """All that each of these was told since it was last asked; None: its connection ended."""
        self._go_round()
        return {each: self._take(each) for each in who}

    def create(self, domid: int) -> None:
        """The hypervisor has the domain."""
        self._domains.add(domid)

    def shut_down(self, domid: int) -> None:
        """The domain stopped."""
        if domid in self._domains:
            self._obey(self._daemon.domain_shut_down(DomId(domid)))

    def destroy(self, domid: int) -> None:
        """The domain is gone."""
        self._domains.discard(domid)
        self._obey(self._daemon.domain_destroyed(DomId(domid)))

    def _open(self, who: Who, conn: ConnId | None) -> None:
        assert conn is not None, f"no connection for {who}"
        self._conns[who] = conn
        self._inputs[who] = deque()
        self._heard[who] = bytearray()
        self._ended.discard(who)
        self._headers.discard(who)

    def _take(self, who: Who) -> tuple[Message, ...] | None:
        heard, self._heard[who] = self._heard[who], bytearray()
        return None if who in self._ended else tuple(parse(heard))

    def _go_round(self) -> None:
        busy = True
        while busy:
            busy = False
            ready = [who for who, conn in self._conns.items() if self._daemon.output(conn, 1)]
            for who, conn in tuple(self._conns.items()):
                if self._inputs[who] and self._daemon.wants_input(conn):
                    busy = True
                    self._feed(who, conn, self._inputs[who].popleft())
                if who in ready or who not in SOCKETS:
                    busy = self._pass_on(who, conn) or busy

    def _feed(self, who: Who, conn: ConnId, message: bytes) -> None:
        # As the event loop serves a socket whose client takes nothing of the reply yet.
        reply = self._daemon.reply_at_once(conn, message) if who in SOCKETS else None
        if reply is None:
            self._obey(self._daemon.feed(conn, message))
        else:
            if reply:
                self._daemon.keep(conn, reply, 0)
            self._obey(self._daemon.commands())

    def _pass_on(self, who: Who, conn: ConnId) -> bool:
        packet = self._daemon.output(conn, 1)
        if who in SOCKETS and who not in self._headers and len(packet) > HEADER_SIZE:
            self._headers.add(who)
            return True
        self._headers.discard(who)
        self._heard[who] += packet
        self._obey(self._daemon.sent(conn, len(packet)))
        return bool(packet)

    def _obey(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case OpenDomain(domid):
                    self.introduced.add(domid)
                    self._open(ring_of(domid), self._daemon.connect(domid, ring=True))
                case CloseDomain(domid):
                    self.introduced.discard(domid)
                    self._conns.pop(ring_of(domid), None)
                case Close(conn) | Ignore(conn):
                    who = next((who for who, each in self._conns.items() if each == conn), None)
                    if who is not None:
                        self._ended.add(who)
                        self._inputs[who].clear()
