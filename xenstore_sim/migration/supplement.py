"""What a running daemon hands to its successor besides the public format, which has no room for it.

Between two of our own only: it follows the stream, whose END ends it for every other reader.
"""

from dataclasses import dataclass, field

from xenstore_sim.wire.names import DomId, TxId


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain that the daemon knows."""

    domid: DomId
    generation: int
    introduced: bool
    shutdown_reported: bool
    dead: bool


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A connection of the stream that is open; to the others belong domains without one."""

    conn_id: int
    ring: bool
    broken: bool
    sent: bytes
    """What its client has of the first message that waits."""
    causes: tuple[tuple[int, int], ...]
    """Of packets that wait: which one, and the number in `unfinished` of the request that is not
    finished until it is taken."""
    last_tx_id: TxId


@dataclass(frozen=True, slots=True)
class AccessState:
    """What a transaction knows of one path; in the order of the stream's pending nodes."""

    before: tuple[int, str] | None
    """Generation and permissions of the node at the first access."""
    children: bytes
    modified: bool
    told: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class TransactionState:
    """A transaction; in the order of the stream."""

    poisoned: bool
    accesses: tuple[AccessState, ...]


@dataclass(frozen=True, slots=True)
class AccountState:
    """What was counted about a domain, and cannot be counted again."""

    domid: DomId
    most: dict[str, int]
    above_soft: bool
    warnings: int
    stalls: int = 0


@dataclass(frozen=True, slots=True)
class LogState:
    """The log of CONTROL log."""

    opened: bool
    switches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Supplement:
    """All of it."""

    last_conn: int
    """The id that was given last."""
    generation: int
    """The store's."""
    generations: tuple[int, ...]
    """Of the stream's nodes that are in the store, in its order."""
    domains: tuple[DomainState, ...]
    holds: tuple[tuple[DomId, DomId], ...]
    """Holder and target of each SET_TARGET, oldest first."""
    connections: tuple[ConnectionState, ...]
    transactions: tuple[TransactionState, ...]
    unfinished: tuple[int, ...]
    """Who asked for what is not finished, by connection."""
    accounts: tuple[AccountState, ...]
    past: dict[str, int]
    """The most that any domain used that is gone."""
    counters: dict[str, int]
    requests: dict[int, int]
    """Their counts, by operation."""
    log: LogState
    errors: dict[str, int] = field(default_factory=dict)
    """Counts of refused requests, by errno."""
