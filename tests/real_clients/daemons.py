"""The daemons that the real clients speak to: ours as its users start it, and the real one."""

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.oracle.guest_ring import GuestRing
from tests.oracle.real_xenstored import RealXenstored

SIMULATED: Final = ("4.17", "4.20", "4.22")
DEADLINE_S: Final = 300
"""Of all tests with one daemon together. The daemon ends with it, and each client's wait then."""

SILENCE_S: Final = 60


class RunningDaemon(Protocol):
    """A daemon that serves."""

    release: str
    rundir: Path
    simulated: bool

    def prepare_domain(self, domid: int) -> int:
        """Let the hypervisor have the domain; the event channel's port for INTRODUCE."""

    def domain_socket(self, domid: int) -> Path:
        """Where a client connects that is to be this domain, which is introduced."""


def environment(daemon: RunningDaemon) -> dict[str, str]:
    """That of a client."""
    others = {name: value for name, value in os.environ.items() if "XENSTORED" not in name}
    return {**others, "XENSTORED_RUNDIR": str(daemon.rundir)}


class SimulatedDaemon:
    """Ours."""

    simulated = True

    def __init__(self, release: str, rundir: Path) -> None:
        self.release = release
        self.rundir = rundir

    def prepare_domain(self, domid: int) -> int:
        return 1

    def domain_socket(self, domid: int) -> Path:
        return self.rundir / "domain" / str(domid)


class RealDaemon:
    """Debian's, with rings for domains; behind a socket each, as libxenstore knows no rings."""

    release = "4.17"
    simulated = False

    def __init__(self, real: RealXenstored) -> None:
        self.rundir = real.directory
        self._real = real
        self._rings: dict[int, GuestRing] = {}
        self._bridges: list[Bridge] = []

    def prepare_domain(self, domid: int) -> int:
        self._real.create_domain(domid)
        self._rings[domid] = self._real.ring(domid)
        return self._rings[domid].port

    def domain_socket(self, domid: int) -> Path:
        bridge = Bridge(self.rundir / f"bridge-{domid}-{len(self._bridges)}", self._rings[domid])
        self._bridges.append(bridge)
        return bridge.path

    def close(self) -> None:
        for bridge in self._bridges:
            bridge.close()


class Bridge:
    """Carries bytes between a unix socket, for one client, and a ring."""

    def __init__(self, path: Path, ring: GuestRing) -> None:
        self.path = path
        self._ring = ring
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """End it; the client's connection ends too."""
        self._stop.close()
        self._thread.join()
        self._stopped.close()
        self._listener.close()

    def _run(self) -> None:
        if self._listener in select.select([self._listener, self._stopped], [], [])[0]:
            client, _ = self._listener.accept()
            with client:
                self._carry(client)

    def _carry(self, client: socket.socket) -> None:
        while True:
            # A request in the ring can have taken the ringing for the reply with it.
            if told := self._ring.take():
                client.sendall(told)
                continue
            ends = [client, self._ring.doorbell, self._stopped]
            ready, _, _ = select.select(ends, [], [], SILENCE_S)
            # A client that waits so long would wait for ever.
            if not ready or self._stopped in ready:
                return
            if self._ring.doorbell in ready:
                self._ring.wait()
            if client in ready:
                asked = client.recv(4096)
                if not asked:
                    return
                self._ring.send(asked)


@contextmanager
def simulated(rundir: Path, release: str) -> Iterator[SimulatedDaemon]:
    """Ours, for the block, and stopped by SIGTERM."""
    readable, writable = os.pipe()
    command = [sys.executable, "-m", "xenstore_sim", "--rundir", str(rundir), "--compat", release]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(writable)],
        pass_fds=[writable],
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writable)
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    with process:
        try:
            assert os.read(readable, 100) == b"ready\n"
            yield SimulatedDaemon(release, rundir)
            process.terminate()
            _, errors = process.communicate()
        finally:
            os.close(readable)
            watchdog.cancel()
            process.kill()
    assert process.returncode == 0, f"status {process.returncode}: {errors}"
    # What CONTROL `print` was told is there too.
    assert errors.startswith(f"xenstore-sim: listening on {rundir}/socket\n"), errors
    assert "Traceback" not in errors, errors


@contextmanager
def real() -> Iterator[RealDaemon]:
    """Debian's, for the block."""
    with RealXenstored() as xenstored:
        watchdog = threading.Timer(DEADLINE_S, os.kill, (xenstored.pid, 9))
        watchdog.start()
        daemon = RealDaemon(xenstored)
        try:
            yield daemon
        finally:
            daemon.close()
            watchdog.cancel()
