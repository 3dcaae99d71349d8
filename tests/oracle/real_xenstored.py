"""Debian's xenstored of Xen 4.17, without Xen below it."""

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

from tests.oracle.domain_table import DomainState, DomainTable
from tests.oracle.guest_ring import PAGE_SIZE, GuestRing
from tests.oracle.raw_client import ERROR, RawClient, SocketTransport
from tests.oracle.stub_library import stub_library

XENSTORED = Path("/usr/lib/xen-4.17/bin/xenstored")
INTRODUCE = 8
_START_S = 30
_ANSWER_S = 20
_DOM0_PORT = 1
_VIRQ_DOMID, _VIRQ_DOM_EXC = 0xFFFFFFFF, 3
"""As stub/hypervisor.c has them."""


class RealXenstored:
    """A running daemon; a context manager, which kills it at the end.

    options: of xenstored's command line, such as "-E", "20" or "-Q", "transaction-nodes=5".
    Events to domains never expire here, and dom0 has a ring as it has under Xen.
    """

    def __init__(self, *options: str) -> None:
        self._options = options
        self._sockets: list[socket.socket] = []
        self._rings: list[GuestRing] = []
        self._next_port = _DOM0_PORT + 1
        self._onlooker: RawClient | None = None

    def __enter__(self) -> Self:
        # The names of sockets are short: pytest's own directories would make them too long.
        self.directory = Path(mkdtemp(prefix="xenstored-"))
        self.socket_path = self.directory / "socket"
        self.domains = DomainTable(self.directory / "domains")
        self.domains[0] = DomainState.EXISTS
        try:
            self._start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        # What ended it first counts, be it that the kill came while it was dying.
        status = self._process.wait()
        stderr = self.stderr()
        self._clean_up()
        if status != -signal.SIGKILL:
            note = f"xenstored ended by itself with {status}: {stderr or 'it said nothing'}"
            if error is None:
                raise AssertionError(note)
            error.add_note(note)

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return self._process.pid

    def stderr(self) -> str:
        """What the daemon said on standard error."""
        return (self.directory / "stderr").read_text(errors="replace")

    # -- clients

    def connect(self) -> RawClient:
        """A new client of the privileged socket."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets.append(stream)
        _limit_waits(stream)
        stream.connect(str(self.socket_path))
        return RawClient(SocketTransport(stream))

    def ring(self, domid: int, port: int | None = None) -> GuestRing:
        """A domain's page, zeroed, and a new event channel for it: what INTRODUCE is told of.

        port: the domain's number of the channel; None takes one that was not used before.
        """
        path = self.directory / f"ring-{domid}"
        # Never the file of an earlier domain of this id: the daemon may have it mapped.
        path.unlink(missing_ok=True)
        with path.open("wb") as page:
            page.truncate(PAGE_SIZE)
        if port is None:
            port, self._next_port = self._next_port, self._next_port + 1
        ring = GuestRing(domid, path, port, self._event_channel(domid, port))
        self._rings.append(ring)
        return ring

    def introduce(self, dom0: RawClient, domid: int) -> RawClient:
        """A client that is this domain, new to the hypervisor and the daemon.

        dom0: asks for it, and must not be told of it by a watch.
        """
        self.create_domain(domid)
        ring = self.ring(domid)
        reply = dom0.ask(INTRODUCE, str(domid), "1", str(ring.port))
        assert reply.type != ERROR, reply
        return RawClient(ring)

    # -- the hypervisor

    def create_domain(self, domid: int) -> None:
        """The hypervisor has the domain; the daemon is told by INTRODUCE."""
        self.domains[domid] = DomainState.EXISTS

    def shut_down_domain(self, domid: int) -> None:
        """The domain stopped, and the daemon knows it."""
        self.domains[domid] |= DomainState.SHUT_DOWN
        self.raise_dom_exc()

    def destroy_domain(self, domid: int) -> None:
        """The hypervisor has the domain no more, and the daemon knows it."""
        self.domains[domid] = DomainState.ABSENT
        self.raise_dom_exc()

    def raise_dom_exc(self) -> None:
        """The event VIRQ_DOM_EXC, which some domain's death or stop causes; waits until the daemon
        has looked at all domains."""
        self._virq.send(b"\0" * 8)
        # It takes in events before requests.
        if self._onlooker is None:
            self._onlooker = self.connect()
        self._onlooker.flush()

    def offer_virq_again(self) -> None:
        """Let a program that takes the daemon's place bind VIRQ_DOM_EXC; it has no other channel
        of before."""
        self._virq = self._event_channel(_VIRQ_DOMID, _VIRQ_DOM_EXC)

    # -- inside

    def _start(self) -> None:
        with (self.directory / "ring-0").open("wb") as page:
            page.truncate(PAGE_SIZE)
        (self.directory / "xsd_port").write_text(str(_DOM0_PORT))
        # These two the daemon binds at its start.
        self._control, control_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sockets += (self._control, control_there)
        _limit_waits(self._control)
        self._event_channel(0, _DOM0_PORT)
        self._virq = self._event_channel(_VIRQ_DOMID, _VIRQ_DOM_EXC)
        ready, ready_there = os.pipe()
        environment = {
            "LD_PRELOAD": str(stub_library().path),
            "XENSTORED_STUB_DIR": str(self.directory),
            "XENSTORED_STUB_CONTROL_FD": str(control_there.fileno()),
            "XENSTORED_STUB_READY_FD": str(ready_there),
            "XENSTORED_RUNDIR": str(self.directory),
        }
        try:
            with (self.directory / "stderr").open("wb") as stderr:
                self._process = subprocess.Popen(
                    [XENSTORED, "-N", "-w", "watch-event=0", *self._options],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=[control_there.fileno(), ready_there],
                )
            os.close(ready_there)
            readable, _, _ = select.select([ready], [], [], _START_S)
            serves = bool(readable) and os.read(ready, 1) == b"1"
        finally:
            os.close(ready)
        if not serves:
            self._process.kill()
            status = self._process.wait()
            raise AssertionError(f"xenstored ended with {status}: {self.stderr()}")

    def _event_channel(self, domid: int, port: int) -> socket.socket:
        """The client's end of a new event channel; the daemon can bind the other."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        _limit_waits(here)
        self._sockets.append(here)
        with there:
            socket.send_fds(self._control, [struct.pack("@II", domid, port)], [there.fileno()])
        return here

    def _clean_up(self) -> None:
        for ring in self._rings:
            ring.close()
        for each in self._sockets:
            each.close()
        self.domains.close()
        shutil.rmtree(self.directory)


def _limit_waits(end: socket.socket) -> None:
    """Bound every wait for the other side; a timeout of Python's would cost a syscall each."""
    limit = struct.pack("@ll", _ANSWER_S, 0)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
