"""One client's connection, whatever carries it."""

from dataclasses import dataclass, field

from xenstore_sim.store.access import Identity
from xenstore_sim.store.accounts import Account
from xenstore_sim.store.commands import Send
from xenstore_sim.store.connection_faults import ConnectionFaults
from xenstore_sim.store.outbox import Outbox
from xenstore_sim.store.transactions import Transactions
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.decoder import Decoder


@dataclass(slots=True)
class Connection:
    """Who it is, what arrived, what waits to be sent, and its open transactions."""

    id: ConnId
    identity: Identity
    account: Account
    """Its domain's."""
    ring: bool = False
    """A ring cannot be closed like a stream: it is begun anew, or ignored."""
    decoder: Decoder = field(default_factory=Decoder)
    outbox: Outbox = field(default_factory=Outbox)
    transactions: Transactions = field(default_factory=Transactions)
    spared: bool = False
    """No injected fault meets it."""
    faults: ConnectionFaults | None = None
    """Of fault injection; None until it looks at this connection."""
    broken: bool = False
    """Nothing more is read from it or sent to it."""
    held: bool = False
    """No request of it is handled: the reply to the last one comes later."""
    send: Send = field(init=False)
    """Tells the shell of its output. Kept, for every request says it."""

    def __post_init__(self) -> None:
        self.send = Send(self.id)

    @property
    def name(self) -> str:
        """As logs and reports call it."""
        return f"dom{self.identity.domid}#{self.id}"

    def forget(self) -> None:
        """Drop all that is under way: input, output, transactions."""
        self.decoder.clear()
        self.outbox.clear()
        self.transactions.clear()
        self.faults = None
