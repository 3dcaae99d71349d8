"""What the event loop serves, and what those it serves need of it."""

import errno
from collections.abc import Callable
from typing import Final, Protocol

from xenstore_sim.store.commands import Command
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.watches import ConnId

NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What the system says when it has no more of them; it may have some later."""

GONE: Final = -1
"""In the place of how many bytes a client took: it took none, and never will."""


class Endpoint(Protocol):
    """A descriptor in the epoll set."""

    def ready(self, mask: int) -> None:
        """Serve it, without blocking. mask: of epoll; 0 where the loop comes back by itself."""


class Connected(Endpoint, Protocol):
    """A client's connection, whatever carries it."""

    def offer(self) -> "tuple[Stream, bytes] | None":
        """What to send to whom in one go with others; None: nothing, or it is passed on already."""

    def close(self) -> None:
        """End it; its watches and transactions go with it."""


class Stream(Connected, Protocol):
    """One whose client takes what it is sent in portions."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """How many of these bytes the client takes. Raises: OSError."""

    def replied(self, reply: bytes, size: int) -> None:
        """The client took so many bytes of this, not all, ahead of all other output; or `GONE`."""

    def account(self, size: int) -> bool:
        """The client took so many bytes of the output, or `GONE`; False: `go_on` has something to
        do."""

    def go_on(self, size: int) -> None:
        """After `account` of all who were sent something, with the same size: send the rest, as
        far as the client takes it."""


class Outgoing(Protocol):
    """What leaves at the end of a round."""

    def reply(self, conn_id: ConnId, stream: Stream, reply: bytes) -> None:
        """This is for the client, ahead of any output of the same connection."""


class Loop(Protocol):
    """The event loop as those see it whom it serves."""

    daemon: Daemon

    @property
    def outgoing(self) -> Outgoing:
        """What leaves at the end of the round."""

    def carry_out(self, commands: tuple[Command, ...]) -> None:
        """Do what the daemon's core wants; output goes out later in the same round."""

    def add(self, fd: int, endpoint: Endpoint, mask: int) -> None:
        """Watch a descriptor for these events from now on."""

    def watch_for(self, fd: int, mask: int) -> None:
        """Watch a descriptor for these events instead."""

    def remove(self, fd: int) -> None:
        """Watch a descriptor no more; to be said before it is closed."""

    def come_back(self, endpoint: Endpoint) -> None:
        """Serve it in the next round, whatever its descriptors say."""

    def pause(self, listener: Endpoint, fd: int) -> None:
        """Accept no more from this socket until a descriptor is free."""

    def descriptor_freed(self) -> None:
        """Let those go on who ran out of descriptors; to be said after closing some."""

    def add_connection(self, conn_id: ConnId, connection: Connected) -> None:
        """Carry out commands about this connection from now on."""

    def forget_connection(self, conn_id: ConnId) -> None:
        """It is closed."""
