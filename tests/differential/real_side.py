"""Conversations with the real xenstored."""

from collections.abc import Iterable, Sequence

from tests.differential.steps import FIRST, SOCKETS, Who, domid_of, ring_of
from tests.oracle.domain_table import DomainState
from tests.oracle.guest_ring import ERROR, GuestRing, RingBroken
from tests.oracle.raw_client import BARRIER, ConnectionEnded, Message, RawClient
from tests.oracle.real_xenstored import RealXenstored


class RealSide:
    """The daemon runs, and somebody else ends it."""

    def __init__(self, real: RealXenstored) -> None:
        self._real = real
        self._clients: dict[Who, RawClient] = {}
        self._rings: dict[int, GuestRing] = {}
        self._heard: dict[Who, list[Message]] = {}
        self._ended: set[Who] = set()

    def connect(self, who: Who) -> None:
        """Open a socket."""
        self._clients[who] = self._real.connect()
        self._ended.discard(who)

    def hang_up(self, who: Who) -> None:
        """Close a socket."""
        self._clients[who].close()
        self._heard.pop(who, None)

    def port(self, domid: int) -> int:
        """What INTRODUCE of this domain has to name."""
        ring = self._rings.get(domid)
        return 1 if ring is None else ring.port

    def say(self, who: Who, messages: Sequence[bytes]) -> None:
        """Send messages in one write, and wait until all are done."""
        client = self._clients[who]
        sent = b"".join(messages)
        try:
            if _breaks(messages) and who not in SOCKETS:
                # An ignored ring answers no barrier. What others hear says that it was read.
                client.transport.send(sent)
                self._listen([FIRST])
            else:
                client.transport.send(sent + BARRIER)
                self._heard.setdefault(who, []).extend(client.until_barrier())
        except ConnectionEnded:
            self._ended.add(who)

    def hear(self, who: Iterable[Who]) -> dict[Who, tuple[Message, ...] | None]:
        """All that each of these was told since it was last asked; None: its connection ended."""
        asked = tuple(who)
        for each in asked:
            if each not in SOCKETS and self._rings[domid_of(each)].field(ERROR):
                self._ended.add(each)
        self._listen([each for each in asked if each not in self._ended])
        heard = {each: tuple(self._heard.pop(each, ())) for each in asked}
        return {each: None if each in self._ended else heard[each] for each in asked}

    def create(self, domid: int) -> None:
        """The hypervisor has the domain, with a page and a channel."""
        self._real.create_domain(domid)
        self._rings[domid] = self._real.ring(domid)
        self._clients[ring_of(domid)] = RawClient(self._rings[domid])
        self._ended.discard(ring_of(domid))

    def shut_down(self, domid: int) -> None:
        """The domain stopped."""
        self._real.shut_down_domain(domid)

    def run(self, domid: int) -> None:
        """The domain that stopped runs again."""
        self._real.domains[domid] = DomainState.EXISTS

    def destroy(self, domid: int) -> None:
        """The domain is gone."""
        self._real.destroy_domain(domid)

    def _listen(self, who: Iterable[Who]) -> None:
        """Barriers first, answers then: the daemon works on them while we do."""
        for each in who:
            self._clients[each].transport.send(BARRIER)
        for each in who:
            try:
                self._heard.setdefault(each, []).extend(self._clients[each].until_barrier())
            except (ConnectionEnded, RingBroken):
                self._ended.add(each)


def _breaks(messages: Sequence[bytes]) -> bool:
    return any(int.from_bytes(message[12:16], "little") > 4096 for message in messages)
