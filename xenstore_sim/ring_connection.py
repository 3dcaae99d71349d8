"""A domain on its ring, as the daemon serves it.

The domain's client gets page and doorbells over a unix socket, and keeps that socket: the
connection ends when it closes it, or dies. Afterwards it is used for nothing else.
"""

import select
import socket
from typing import Final

from xenstore_sim.descriptors import RingDescriptors
from xenstore_sim.endpoint import Loop
from xenstore_sim.ring.byte_queue import BadIndex
from xenstore_sim.ring.page import RingError
from xenstore_sim.ring.server_end import ServerEnd
from xenstore_sim.ring.shared_ring import SharedRing
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.names import DomId

_BYTES_PER_ROUND: Final = 8 * 1024
"""Read and written: what makes the rounds fair to other connections."""
_PACKETS_AT_ONCE: Final = 32
"""Asked of the core at a time: the ring takes 1024 bytes, and to join more is in vain."""


class RingConnection:
    """Moves bytes between a ring and the daemon's core.

    No wake-up is lost: a doorbell rung after the indexes were read is an edge that epoll still
    has to report, and while the ring holds what the daemon would take, the loop comes back.
    """

    def __init__(
        self,
        loop: Loop,
        conn_id: ConnId,
        domid: DomId,
        control: socket.socket,
        taken_over: SharedRing | None = None,
    ) -> None:
        """control: where the client waits for its ring. Raises: OSError, with `control` open.

        taken_over: the ring that it got from another program; None: it gets a fresh one.
        """
        self._loop = loop
        self._conn_id = conn_id
        self._control = control
        self._shared = taken_over or SharedRing(f"xenstore-ring-{domid}")
        features, anew = loop.daemon.ring_features(domid), taken_over is None
        self._end = ServerEnd(self._shared.page, features, anew=anew)
        self._error = RingError.PROTOCOL
        self._served = not loop.daemon.is_broken(conn_id)
        self._budget = _BYTES_PER_ROUND
        self._drained = False
        """The last reading left nothing: the doorbell tells of more."""
        if anew:
            try:
                self._shared.hand_out(control)
            except BaseException:
                self._shared.close()
                raise
        if self._served:
            # Edges, so that a doorbell is never read: see SharedRing.
            loop.add(self._shared.to_server, self, select.EPOLLIN | select.EPOLLET)
        # Not EPOLLIN: what a client says there is nobody's business.
        loop.add(control.fileno(), _Control(self), select.EPOLLRDHUP)
        loop.add_connection(conn_id, self)

    @property
    def descriptors(self) -> RingDescriptors:
        """For a program that takes this one's place."""
        return RingDescriptors(self._control.fileno(), *self._shared.descriptors)

    def ready(self, mask: int) -> None:
        """Write what has room, and read what the daemon takes."""
        self._budget = _BYTES_PER_ROUND
        self._serve(reads=True)

    def offer(self) -> None:
        """Write what the daemon has for the domain, as far as there is room."""
        self._serve(reads=False)

    def _serve(self, *, reads: bool) -> None:
        try:
            moved = self._write()
            if reads and self._read():
                self._write()
                moved = True
            self._stay_awake()
        except BadIndex:
            self._error = RingError.INDEX
            self._loop.carry_out(self._loop.daemon.broke_ring(self._conn_id))
        else:
            # Once for all of it: xenstored rings for each piece, and each wakes the domain.
            if moved and self._served:
                self._shared.ring()

    def _read(self) -> bool:
        """Whether there was anything to read. Raises: BadIndex."""
        daemon = self._loop.daemon
        before = self._budget
        self._drained = False
        # A message at a time, and of an oversize one its header, as xenstored does: the domain
        # sees the index of what was read.
        while self._served and self._budget > 0:
            if daemon.awaits_message(self._conn_id):
                data = self._end.read_message()
            elif missing := daemon.missing_input(self._conn_id):
                data = self._end.read(missing)
            else:
                break
            if not data:
                self._drained = True
                break
            self._budget -= len(data)
            if commands := daemon.feed(self._conn_id, data):
                self._loop.carry_out(commands)
        return self._budget < before

    def _write(self) -> bool:
        """Whether anything was written. Raises: BadIndex."""
        daemon = self._loop.daemon
        before = self._budget
        while (
            self._served
            and self._budget > 0
            and (output := daemon.output(self._conn_id, _PACKETS_AT_ONCE))
        ):
            size = self._end.write(output)
            if not size:
                daemon.blocked(self._conn_id)
                break
            self._budget -= size
            if commands := daemon.sent(self._conn_id, size):
                self._loop.carry_out(commands)
        return self._budget < before

    def _stay_awake(self) -> None:
        """Come back for what the budget left. For what the daemon does not take yet, the domain's
        doorbell wakes us: it rings when it takes its replies. Raises: BadIndex."""
        if not self._served:
            return
        daemon = self._loop.daemon
        if (self._budget <= 0 and daemon.output(self._conn_id, 1)) or (
            not self._drained and daemon.wants_input(self._conn_id) and self._end.has_input()
        ):
            self._loop.come_back(self)

    def reset(self) -> None:
        """Empty the ring: the domain was introduced again. An ignored one stays ignored."""
        if self._end.reset():
            self._shared.ring()

    def ignore(self) -> None:
        """Say why, and serve it no more; the page stays until the domain or its client goes."""
        self._end.tell_error(self._error)
        self._shared.ring()
        self._stop()

    def close(self) -> None:
        """End it; its watches and transactions go with it."""
        self._stop()
        self._loop.forget_connection(self._conn_id)
        self._loop.carry_out(self._loop.daemon.disconnect(self._conn_id))
        self._loop.remove(self._control.fileno())
        self._control.close()
        self._shared.close()
        self._loop.descriptor_freed()

    def _stop(self) -> None:
        if self._served:
            self._served = False
            self._loop.remove(self._shared.to_server)


class _Control:
    """The socket that a ring's client keeps open while it lives."""

    def __init__(self, ring: RingConnection) -> None:
        self._ring = ring

    def ready(self, mask: int) -> None:
        """The client closed it: nothing else is waited for."""
        self._ring.close()
