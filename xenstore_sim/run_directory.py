"""The directory where a daemon's sockets lie: one daemon at a time, stale sockets removed."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from xenstore_sim.descriptors import Descriptors
from xenstore_sim.process_id import write_process_id
from xenstore_sim.wire.names import DomId

SOCKET_MODE: Final = 0o600
SOCKET_PATH_MAX: Final = 107
"""Bytes; struct sockaddr_un holds 108 with the final NUL."""
# Clients connect faster than one round of the daemon's loop takes; the kernel caps it anyway.
_BACKLOG: Final = 1024


class RunDirectoryError(Exception):
    """The directory cannot be used."""

    def __init__(self, rundir: Path, reason: str, remedy: str) -> None:
        super().__init__(rundir, reason, remedy)
        self.rundir = rundir
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.rundir}: {self.reason}: {self.remedy}"


class DaemonRunning(RunDirectoryError):
    """Another daemon serves this directory."""


class RunDirectory:
    """A locked run directory; a context manager that leaves neither sockets nor lock behind."""

    def __init__(
        self, rundir: Path, socket_path: Path | None = None, taken_over: Descriptors | None = None
    ) -> None:
        """Take the directory, made if missing. Raises: DaemonRunning, RunDirectoryError.

        socket_path: of the privileged socket; None: it lies in the directory, too.
        taken_over: of a program that had it and gave its place to this one.
        """
        self.rundir = rundir
        self.socket_path = rundir / "socket" if socket_path is None else socket_path
        self._listening: dict[Path, int] = {}
        """Sockets of that program that nobody asked for yet."""
        self._owned = taken_over is None
        if taken_over is not None:
            self._take_over(taken_over)
            return
        paths = (self.domain_socket_path(DomId(65535)), self.socket_path)
        longest = max(paths, key=lambda path: len(os.fsencode(path)))
        if (size := len(os.fsencode(longest))) > SOCKET_PATH_MAX:
            raise RunDirectoryError(
                rundir,
                f"the socket name {longest} has {size} bytes, the system's bound is"
                f" {SOCKET_PATH_MAX}",
                "choose a place with a shorter name",
            )
        try:
            for path in (*self._socket_directories(), self.socket_path.parent):
                path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(rundir)
            self.note_process()
        except OSError as error:
            raise RunDirectoryError(
                rundir, f"{error.strerror} ({error.filename})", "choose a writable directory"
            ) from error
        try:
            self._remove_stale()
        except BaseException:
            os.close(self._lock)
            raise

    def domain_socket_path(self, domid: DomId) -> Path:
        """Where this domain connects."""
        return self.rundir / "domain" / str(domid)

    def ring_socket_path(self, domid: DomId) -> Path:
        """Where this domain gets its ring."""
        return self.rundir / "ring" / str(domid)

    def listen(self, path: Path) -> socket.socket:
        """A non-blocking listening socket for our user alone, at a path in this directory.

        Raises: OSError, with the path.
        """
        if (fd := self._listening.pop(path, None)) is not None:
            return socket.socket(fileno=fd)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Before bind, so that the name never exists with another mode.
            os.fchmod(listener.fileno(), SOCKET_MODE)
            listener.bind(os.fspath(path))
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        return listener

    def _take_over(self, descriptors: Descriptors) -> None:
        self._lock = descriptors.lock
        self._listening[self.socket_path] = descriptors.listening
        for domid, (connects, ring) in descriptors.domains.items():
            self._listening[self.domain_socket_path(domid)] = connects
            self._listening[self.ring_socket_path(domid)] = ring

    @property
    def lock(self) -> int:
        """The descriptor of the lock, for a program that takes this one's place."""
        return self._lock

    def own(self) -> None:
        """The program that had it is gone; until then it is left as it is at the end."""
        self._owned = True

    def note_process(self) -> None:
        """Name this process in the lock, for whoever finds it taken. Raises: OSError."""
        write_process_id(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._owned:
            for path in self._sockets():
                path.unlink(missing_ok=True)
        # The lock file stays: removing it would let two daemons lock two files of one name.
        os.close(self._lock)

    def _sockets(self) -> list[Path]:
        paths = [self.socket_path]
        for directory in self._socket_directories():
            # Whoever cleans up behind us may have removed it.
            with suppress(FileNotFoundError):
                paths += directory.iterdir()
        return [path for path in paths if path.is_socket()]

    def _socket_directories(self) -> tuple[Path, ...]:
        return self.domain_socket_path(DomId(0)).parent, self.ring_socket_path(DomId(0)).parent

    def _remove_stale(self) -> None:
        """Remove sockets that a killed daemon left; one that answers belongs to a daemon without
        our lock, such as Xen's own."""
        if _answers(self.socket_path):
            raise DaemonRunning(
                self.rundir,
                f"a daemon that is not ours answers at {self.socket_path}",
                "stop it or choose another directory",
            )
        if self.socket_path.exists() and not self.socket_path.is_socket():
            raise RunDirectoryError(
                self.rundir, f"{self.socket_path} is there and is no socket", "move it away"
            )
        for path in self._sockets():
            path.unlink(missing_ok=True)


def _lock(rundir: Path) -> int:
    lock = os.open(rundir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode("ascii", "replace").strip()
        os.close(lock)
        raise DaemonRunning(
            rundir, f"xenstore-sim runs there, process {pid}", "stop it or choose another directory"
        ) from None
    return lock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            # Its queue is full, it is not for us, or of another kind: there is somebody.
            return True
    return True
