"""The daemons that are compared, each run alike: a socket for dom0, and a domain on its ring."""

import mmap
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final, Protocol

from benchmarks.xenstore.native import Native
from tests.oracle.domain_table import DomainState, DomainTable
from tests.oracle.real_xenstored import RealXenstored

DOMID: Final = 5
"""Of the domain on the ring."""
OXENSTORED: Final = Path("/usr/lib/xen-4.17/bin/oxenstored")
PAGE_SIZE: Final = 4096
_START_S: Final = 30
_ANSWER_S: Final = 30
_DOM0_PORT, _DOMAIN_PORT = 1, 2
_VIRQ_DOMID, _VIRQ_DOM_EXC = 0xFFFFFFFF, 3
"""As tests/oracle/stub/hypervisor.c has them."""


class DaemonFailed(Exception):
    """A daemon could not be run."""


@dataclass(frozen=True, slots=True)
class RingEnd:
    """A domain's end of its ring."""

    page: mmap.mmap
    to_server: int
    to_client: int
    owned: tuple[socket.socket | FileIO, ...] = ()
    """What keeps it going."""

    def close(self) -> None:
        """End it, as far as it is ours to end."""
        for each in self.owned:
            each.close()


class Daemon(Protocol):
    """A running one."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def pid(self) -> int:
        """Its process."""

    @property
    def socket_path(self) -> Path:
        """Who connects to it is dom0."""

    def introduction(self) -> bytes | None:
        """The payload of INTRODUCE that makes `DOMID` known; None: it needs none."""

    def ring(self) -> RingEnd:
        """The end of `DOMID`, which was introduced. Called once."""


def is_floor(daemon: Daemon) -> bool:
    """Whether it is no xenstored at all."""
    return isinstance(daemon, _Floor)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), PAGE_SIZE)


def limit_waits(end: socket.socket) -> None:
    """Bound every wait on this socket."""
    limit = struct.pack("@ll", _ANSWER_S, 0)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


@contextmanager
def running(native: Native, compiled: Path | None = None) -> Iterator[tuple[Daemon, ...]]:
    """All of them, the floor first and ours last. Raises: DaemonFailed.

    compiled: where a copy of ours lies that is to be run instead; None: ours itself.
    """
    with (
        TemporaryDirectory(prefix="xs-") as directory,
        floor(native, Path(directory)) as bare,
        c_xenstored() as c,
        _oxenstored(native, Path(directory)) as ocaml,
        ours(Path(directory), compiled) as python,
    ):
        yield (bare, c, ocaml, python)


@contextmanager
def serving(
    name: str,
    command: tuple[str | Path, ...],
    socket_path: Path,
    *,
    environment: dict[str, str] | None = None,
    passed: tuple[int, ...] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that serves this socket; killed at the end."""
    errors = socket_path.with_name(f"{socket_path.name}.stderr")
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            pass_fds=passed,
        )
    try:
        deadline = monotonic() + _START_S
        while not _answers(socket_path):
            if process.poll() is not None or monotonic() > deadline:
                raise DaemonFailed(f"{name} does not serve: {errors.read_text().strip()}")
            sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False


@dataclass(frozen=True, slots=True)
class _Floor:
    name: str
    pid: int
    socket_path: Path
    end: RingEnd

    def introduction(self) -> bytes | None:
        return None

    def ring(self) -> RingEnd:
        return self.end


@contextmanager
def floor(native: Native, directory: Path) -> Iterator[Daemon]:
    """What answers at once, with its socket in this directory."""
    path = directory / "floor"
    page = os.memfd_create("floor-ring")
    os.ftruncate(page, PAGE_SIZE)
    to_server, server_bell = socket.socketpair()
    to_client, client_bell = socket.socketpair()
    limit_waits(to_client)
    passed = (page, server_bell.fileno(), client_bell.fileno())
    with serving("floor", (native.floor, path, *map(str, passed)), path, passed=passed) as process:
        kept = (to_server, server_bell, to_client, client_bell)
        end = RingEnd(mmap.mmap(page, PAGE_SIZE), to_server.fileno(), to_client.fileno(), kept)
        yield _Floor("floor", process.pid, path, end)


@dataclass(slots=True)
class _CXenstored:
    real: RealXenstored
    name: str = "C"
    end: RingEnd | None = None

    @property
    def pid(self) -> int:
        return self.real.pid

    @property
    def socket_path(self) -> Path:
        return self.real.socket_path

    def introduction(self) -> bytes | None:
        self.real.create_domain(DOMID)
        ring = self.real.ring(DOMID, _DOMAIN_PORT)
        bell = ring.doorbell.fileno()
        self.end = RingEnd(_mapped(ring.page_path), bell, bell)
        return b"%d\0001\0%d\0" % (DOMID, _DOMAIN_PORT)

    def ring(self) -> RingEnd:
        assert self.end is not None, "introduced before"
        return self.end


@contextmanager
def c_xenstored() -> Iterator[Daemon]:
    """C xenstored."""
    with RealXenstored() as real:
        yield _CXenstored(real)


@dataclass(slots=True)
class _Oxenstored:
    name: str
    pid: int
    socket_path: Path
    domains: DomainTable
    control: socket.socket
    bell: socket.socket | None = None

    def introduction(self) -> bytes | None:
        self.domains[DOMID] = DomainState.EXISTS
        with (self.socket_path.with_name(f"ring-{DOMID}")).open("wb") as page:
            page.truncate(PAGE_SIZE)
        self.bell = _event_channel(self.control, DOMID, _DOMAIN_PORT)
        return b"%d\0001\0%d\0" % (DOMID, _DOMAIN_PORT)

    def ring(self) -> RingEnd:
        assert self.bell is not None, "introduced before"
        page = _mapped(self.socket_path.with_name(f"ring-{DOMID}"))
        return RingEnd(page, self.bell.fileno(), self.bell.fileno(), (self.bell,))


def _event_channel(control: socket.socket, domid: int, port: int) -> socket.socket:
    """The client's end of a new event channel; the daemon can bind the other."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    limit_waits(here)
    with there:
        socket.send_fds(control, [struct.pack("@II", domid, port)], [there.fileno()])
    return here


@contextmanager
def _oxenstored(native: Native, parent: Path) -> Iterator[Daemon]:
    directory = parent / "ox"
    directory.mkdir()
    with ExitStack() as opened:
        domains = opened.enter_context(closing(DomainTable(directory / "domains")))
        domains[0] = DomainState.EXISTS
        (directory / "kva").write_bytes(bytes(PAGE_SIZE))
        (directory / "port").write_text(str(_DOM0_PORT))
        config = directory / "oxenstored.conf"
        # Quotas above what is measured, no logs; the rest as Debian ships it. As it would rotate
        # its logs by renaming, they go to a link and not to the device itself.
        (directory / "log").symlink_to("/dev/null")
        config.write_text(
            f"pid-file = {directory}/pid\nxenstored-log-file = {directory}/log\n"
            f"access-log-file = {directory}/log\naccess-log-nb-lines = 1000000000\n"
            "xenstored-log-nb-lines = 1000000000\n"
            f"xenstored-kva = {directory}/kva\nxenstored-port = {directory}/port\n"
            "persistent = false\ntest-eagain = false\nmerge-activate = true\n"
            "conflict-burst-limit = 5.0\nconflict-max-history-seconds = 0.05\n"
            "conflict-rate-limit-is-aggregate = true\n"
            "perms-activate = true\nperms-watch-activate = true\nquota-activate = true\n"
            "quota-maxentity = 1000000\nquota-maxsize = 2048\nquota-maxwatch = 1000000\n"
            "quota-transaction = 10\nquota-maxrequests = 1024\nquota-path-max = 1024\n"
            "quota-maxoutstanding = 1024\nquota-maxwatchevents = 1024\n"
        )
        control, control_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        opened.enter_context(control)
        opened.enter_context(control_there)
        # These two it binds at its start.
        opened.enter_context(_event_channel(control, 0, _DOM0_PORT))
        opened.enter_context(_event_channel(control, _VIRQ_DOMID, _VIRQ_DOM_EXC))
        environment = {
            "LD_PRELOAD": str(native.under_oxenstored),
            "XENSTORED_STUB_DIR": str(directory),
            "XENSTORED_STUB_CONTROL_FD": str(control_there.fileno()),
        }
        path = directory / "socket"
        with serving(
            "oxenstored",
            (OXENSTORED, "--no-fork", "--config-file", config),
            path,
            environment=environment,
            passed=(control_there.fileno(),),
        ) as process:
            yield _Oxenstored("ox", process.pid, path, domains, control)


@dataclass(frozen=True, slots=True)
class _Ours:
    name: str
    pid: int
    socket_path: Path

    def introduction(self) -> bytes | None:
        return b"%d\0001\0%d\0" % (DOMID, _DOMAIN_PORT)

    def ring(self) -> RingEnd:
        control = socket.socket(socket.AF_UNIX)
        limit_waits(control)
        control.connect(str(self.socket_path.with_name("ring") / str(DOMID)))
        _, fds, _, _ = socket.recv_fds(control, 1, 3)
        page, to_server, to_client = fds
        bell = socket.socket(fileno=to_client)
        bell.setblocking(True)
        limit_waits(bell)
        memory = mmap.mmap(page, PAGE_SIZE)
        os.close(page)
        owned = (control, bell, FileIO(to_server, "wb"))
        return RingEnd(memory, to_server, bell.fileno(), owned)


@contextmanager
def ours(parent: Path, compiled: Path | None = None, name: str = "ours") -> Iterator[Daemon]:
    """xenstore-sim, with a run directory below this one. compiled: as for `running`."""
    directory = parent / name.replace(" ", "-")
    directory.mkdir()
    source = compiled or Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source.absolute())}
    # -P: not the one in the current directory.
    interpreter = (sys.executable, "-P", "-m", "xenstore_sim")
    command = (*interpreter, "--rundir", directory, "--compat", "4.17")
    path = directory / "socket"
    with serving("xenstore-sim", command, path, environment=environment) as process:
        yield _Ours(name, process.pid, path)
