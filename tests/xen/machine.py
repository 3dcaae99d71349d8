"""A machine that runs Xen with dom0: QEMU, its console in a file, and a line to dom0's agent."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from tests.xen.bed.build import Bed
from tests.xen.bed.errors import BedError
from tests.xen.project import project_archive
from tests.xen.protocol import Answer, Request, decode_answer, encode_request, is_hello

QEMU: Final = "qemu-system-x86_64"
CPU: Final = "max,smap=off,rdtscp=off,xsave=off"
"""Of QEMU 7.2, TCG. smap: a PV kernel's iret faults. rdtscp: SVM reports the wrong exit for it.
xsave: dom0's heap is corrupted as soon as a second domain computes."""
MEMORY_MIB: Final = 4096
DOM0_MIB: Final = 1280
NEEDED_MIB: Final = 3072
"""Of the host; a bed touches less than it has."""
BOOT_DEADLINE_S: Final = 180.0
SLACK_S: Final = 60.0
"""Beyond a scenario's own deadline: dom0 ends it, looks for leaks and cleans up."""
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Options:
    xen: str = ""
    """added to the hypervisor's command line"""
    dom0: str = "quiet"
    """added to dom0's kernel command line"""
    memory_mib: int = MEMORY_MIB
    processors: int = 1
    boot_deadline_s: float = BOOT_DEADLINE_S


class Machine:
    """A booted bed; a context, at whose end nothing of it is left but the console's file."""

    def __init__(
        self, bed: Bed, console: Path, options: Options = Options(), files: Iterable[Path] = ()
    ) -> None:
        """console: written line by line, each with the seconds since the start.

        files: for dom0, in /files.
        """
        self._bed = bed
        self._options = options
        self._files = tuple(files)
        self.console = console
        self._numbers = iter(range(1, 1 << 31))
        self._kept = contextlib.ExitStack()
        self._unread = bytearray()

    def __enter__(self) -> Self:
        _refuse_a_small_host(self._options.memory_mib)
        with contextlib.ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xenbed-")))
            initrd = self._initrd(work)
            self._channel, theirs = socket.socketpair()
            stack.callback(self._channel.close)
            with theirs:
                self._process = _started(self._command(initrd, theirs.fileno()), theirs.fileno())
            stack.callback(self._end)
            assert self._process.stdout is not None
            writer = _ConsoleWriter(self._process.stdout, self.console)
            stack.callback(writer.finish)
            # First of all: the writer ends when the console does.
            stack.callback(self._end)
            self._wait_for_dom0()
            self._kept = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._kept:
            self._power_off()

    def run(self, scenario: str, deadline_s: float = 120.0, **arguments: Any) -> Answer:
        """What became of a scenario. Raises: BedError if dom0 answers nothing."""
        request = Request(next(self._numbers), scenario, arguments, deadline_s)
        self._channel.sendall(encode_request(request))
        while True:
            answer = decode_answer(self._line(deadline_s + SLACK_S, f"scenario {scenario}"))
            if answer.number == request.number:
                return answer
            # Too late for its own test, which has failed: the answer to an earlier request.
            if answer.number > request.number:
                raise BedError(f"dom0 answered {answer.number} to request {request.number}")

    def _initrd(self, work: Path) -> Path:
        project = work / "project"
        project.mkdir()
        own = project_archive(self._bed.tree, project, self._files)
        path = work / "initrd"
        with path.open("wb") as file:
            file.write(own)
            file.write(bytes(-len(own) % 4))
            with self._bed.dom0.open("rb") as packed:
                shutil.copyfileobj(packed, file)
        return path

    def _command(self, initrd: Path, channel: int) -> tuple[str, ...]:
        dom0 = f"{DOM0_MIB}M"
        xen = "com1=115200,8n1 console=com1 noreboot loglvl=info guest_loglvl=all"
        log = "console_timestamps=boot conring_size=1m"
        return (
            *(QEMU, "-accel", "tcg,thread=multi", "-cpu", CPU),
            *("-smp", str(self._options.processors), "-m", f"{self._options.memory_mib}M"),
            *("-nodefaults", "-display", "none", "-no-reboot"),
            *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
            *("-chardev", f"socket,id=agent,fd={channel}", "-serial", "chardev:agent"),
            *("-kernel", str(self._bed.hypervisor)),
            *("-append", f"{xen} {log} dom0_mem={dom0},max:{dom0} {self._options.xen}"),
            *("-initrd", f"{self._bed.kernel} console=hvc0 {self._options.dom0},{initrd}"),
        )

    def _wait_for_dom0(self) -> None:
        line = self._line(self._options.boot_deadline_s, "dom0 to come up")
        if not is_hello(line):
            raise BedError(f"dom0 said {line!r}, not that it is up")

    def _line(self, timeout_s: float, awaited: str) -> bytes:
        """The next whole line from dom0. Raises: BedError."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._channel], [], [], left)
            if not ready:
                raise BedError(f"waited {timeout_s:g} s for {awaited}; {self._last_words()}")
            chunk = self._channel.recv(1 << 16)
            if not chunk:
                raise BedError(f"the machine went away, awaited was {awaited}; {self._why_gone()}")
            self._unread += chunk
        line, _, rest = bytes(self._unread).partition(b"\n")
        self._unread = bytearray(rest)
        return line

    def _last_words(self) -> str:
        lines = self.console.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return f"the console is in {self.console} and ends with\n" + "\n".join(lines)

    def _why_gone(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        return f"{QEMU} exited with {self._process.returncode}; {self._last_words()}"

    def _power_off(self) -> None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._channel.sendall(b"\n")
            self._process.wait(20)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)


class _ConsoleWriter:
    """Stamps the console's lines, in a thread, as nobody reads it while a scenario is awaited."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        self._source = source
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        self._thread = threading.Thread(target=self._copy, name="console", daemon=True)
        self._thread.start()

    def _copy(self) -> None:
        started = time.monotonic()
        with self._path.open("w") as file:
            for line in self._source:
                text = line.decode("latin-1").rstrip()
                file.write(f"{time.monotonic() - started:8.2f} {text}\n")
                file.flush()

    def finish(self) -> None:
        """Waits until all is written; the process must have ended."""
        self._thread.join(30)
        self._source.close()


def _started(command: tuple[str, ...], channel: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(channel,),
            preexec_fn=_die_with_parent,
        )
    except FileNotFoundError as error:
        raise BedError(
            f"no {QEMU} here: an administrator runs `apt-get install qemu-system-x86`, "
            "or `make packages` does"
        ) from error


def _die_with_parent() -> None:
    """Nothing is left of a bed whose test run was killed."""
    import ctypes

    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _refuse_a_small_host(memory_mib: int) -> None:
    needed = min(memory_mib, NEEDED_MIB)
    pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                pages, size = int(line.split()[1]), 1024
    if pages * size >> 20 < needed:
        raise BedError(
            f"the bed needs {needed} MiB of memory, {pages * size >> 20} MiB are available: "
            "end what uses it"
        )
