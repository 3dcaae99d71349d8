"""The numbers of the descriptors that a daemon hands to the program that takes its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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

    def renumbered(self, new: dict[int, int]) -> "RingDescriptors":
        """The same, as they are called in another process."""
        return RingDescriptors(*(new[fd] for fd in self.all()))


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
    pid_file: str | None = None
    """Absolute; removed by a program that writes its process id elsewhere."""

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

    def renumbered(self, numbers: Sequence[int]) -> "Descriptors":
        """The same, as they are called in another process. numbers: in the order of `all`."""
        new = dict(zip(self.all(), numbers, strict=True))
        log = self.log
        if log is not None and log.fd is not None:
            log = OpenLog(log.path, new[log.fd])
        return replace(
            self,
            lock=new[self.lock],
            listening=new[self.listening],
            domains={
                domid: (new[connects], new[ring])
                for domid, (connects, ring) in self.domains.items()
            },
            streams={number: new[fd] for number, fd in self.streams.items()},
            rings={number: ring.renumbered(new) for number, ring in self.rings.items()},
            log=log,
        )
