"""What a daemon counts while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from xenstore_sim.wire.ops import Errno, Op


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts since the daemon started, and what there is at this moment."""

    requests: Mapping[Op, int]
    """Handled requests of each operation that occurred, refused ones included."""
    errors: Mapping[Errno, int]
    """Requests answered with ERROR, by what that named."""
    events: int
    """Watch events queued."""
    events_suppressed: int
    """Watch events that waited for their client already."""
    events_expired: int
    """Watch events dropped because an unprivileged client left them unread for too long."""
    conflicts: int
    """Transactions ended with EAGAIN."""
    slow_clients: int
    """Connections ended because their client did not read its events."""
    violations: int
    """Connections ended because their client broke the protocol."""
    events_lost: int
    """Watch events dropped because their domain had no memory left for them."""
    soft_quota_warnings: int
    """Times that a domain's memory went above its soft quota."""
    log_failures: int
    """Lines and files of the log that could not be written."""
    refused_connections: int
    """Second connections of one domain, and those there were no descriptors for."""
    connections: int
    """Open now."""
    watches: int
    """Registered now."""
    nodes: int
    """In the store now."""

    @property
    def refusals(self) -> int:
        """Requests answered with ERROR."""
        return sum(self.errors.values())

    @property
    def round_trips(self) -> int:
        """Requests of all operations."""
        return sum(self.requests.values())


@dataclass(slots=True)
class Counters:
    """The running counts behind `Statistics`."""

    requests: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Op, 0))
    """By the number of the operation."""
    errors: dict[str, int] = field(default_factory=dict)
    """By errno."""
    events: int = 0
    events_suppressed: int = 0
    events_expired: int = 0
    conflicts: int = 0
    slow_clients: int = 0
    unread: int = 0
    """Clients for whom much waited; they may have read it since."""
    violations: int = 0
    events_lost: int = 0
    soft_quota_warnings: int = 0
    log_failures: int = 0
    refused_connections: int = 0

    def refused(self, errno: Errno) -> None:
        """One more request was answered with ERROR."""
        self.errors[errno] = self.errors.get(errno, 0) + 1

    def statistics(self, *, connections: int, watches: int, nodes: int) -> Statistics:
        """The counts as they are now."""
        return Statistics(
            requests=MappingProxyType(
                {Op(number): count for number, count in self.requests.items() if count}
            ),
            errors=MappingProxyType({Errno(name): count for name, count in self.errors.items()}),
            events=self.events,
            events_suppressed=self.events_suppressed,
            events_expired=self.events_expired,
            conflicts=self.conflicts,
            slow_clients=self.slow_clients,
            violations=self.violations,
            events_lost=self.events_lost,
            soft_quota_warnings=self.soft_quota_warnings,
            log_failures=self.log_failures,
            refused_connections=self.refused_connections,
            connections=connections,
            watches=watches,
            nodes=nodes,
        )
