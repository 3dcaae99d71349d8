"""What the daemon's core wants its shell to do."""

from dataclasses import dataclass

from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.names import DomId


@dataclass(frozen=True, slots=True)
class Send:
    """This connection has output: pass it on until `Daemon.output` has no more, and each time say
    `Daemon.sent`."""

    conn: ConnId


@dataclass(frozen=True, slots=True)
class Close:
    """End this connection; what it has not taken is dropped. The core forgot it already."""

    conn: ConnId


@dataclass(frozen=True, slots=True)
class Reset:
    """Begin this ring anew: its domain was introduced again, and all under way is dropped."""

    conn: ConnId


@dataclass(frozen=True, slots=True)
class Ignore:
    """Tell this ring that it broke the protocol. The core keeps the connection, deaf and mute,
    until the domain is gone."""

    conn: ConnId


@dataclass(frozen=True, slots=True)
class OpenDomain:
    """Let this domain connect: it was introduced."""

    domid: DomId


@dataclass(frozen=True, slots=True)
class CloseDomain:
    """Let this domain connect no more: it was released."""

    domid: DomId


Command = Send | Close | Reset | Ignore | OpenDomain | CloseDomain
