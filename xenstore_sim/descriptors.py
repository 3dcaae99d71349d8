"""The numbers of the descriptors that a daemon hands to the program that takes its place."""

from dataclasses import dataclass

from xenstore_sim.wire.names import DomId


@dataclass(frozen=True, slots=True)
class RingDescriptors:
    """Of a domain's ring."""

    control: int
    """The socket that its client keeps."""
    page: int
    to_server: int
    to_client: int

    def all(self) -> tuple[int, ...]:
        """Each of them."""
        return self.control, self.page, self.to_server, self.to_client


@dataclass(frozen=True, slots=True)
class OpenLog:
    """The log's file."""

    path: str
    fd: int | None
    """None: it is closed, and CONTROL may open it again."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """All of them. Numbers of connections are those of the migration format."""

    rundir: str
    socket_path: str
    """Of the privileged socket; both absolute."""
    lock: int
    """Of the run directory."""
    listening: int
    """The privileged socket's."""
    domains: dict[DomId, tuple[int, int]]
    """Where a domain connects, and where it gets its ring."""
    streams: dict[int, int]
    """By connection."""
    rings: dict[int, RingDescriptors]
    """By connection."""
    log: OpenLog | None

    def all(self) -> tuple[int, ...]:
        """Each of them."""
        log = () if self.log is None or self.log.fd is None else (self.log.fd,)
        return (
            self.lock,
            self.listening,
            *(fd for pair in self.domains.values() for fd in pair),
            *self.streams.values(),
            *(fd for ring in self.rings.values() for fd in ring.all()),
            *log,
        )
