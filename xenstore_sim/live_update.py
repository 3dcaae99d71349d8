"""Puts another program in this one's place, by exec: all descriptors live on, and the process id.

Before, that program is run as a child that reads the whole state and opens nothing. Only when it
says that it can go on with it does exec happen, of which there is no way back.
"""

import fcntl
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

from xenstore_sim.event_loop import EventLoop
from xenstore_sim.handover_codec import encode_handover
from xenstore_sim.log_file import LogFile
from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.handing_on import save_all, stream_version
from xenstore_sim.migration.saving import Answered, Sockets
from xenstore_sim.signal_queue import SignalQueue
from xenstore_sim.store.watches import ConnId

STATE_OPTION: Final = "--live-update"
"""Its argument is the descriptor of the state."""
CHECK_OPTION: Final = "--check-state"
CHECK_S: Final = 20.0
"""How long the other program may take to look at the state; clients wait as long."""
_SAID_MAX: Final = 500
"""Characters of what it says against it."""
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def acceptance(size: int) -> str:
    """What a program says that can go on with a state of so many bytes."""
    return f"can go on with a state of {size} bytes"


def without_state(arguments: Sequence[str]) -> list[str]:
    """The same command line, as it was before the first live update."""
    if STATE_OPTION not in arguments:
        return list(arguments)
    at = list(arguments).index(STATE_OPTION)
    return [*arguments[:at], *arguments[at + 2 :]]


class Replacement:
    """What takes the place of the running daemon."""

    def __init__(self, signals: SignalQueue, loop: EventLoop, log: LogFile) -> None:
        """signals: of this process; the other program gets those that nobody took."""
        self._signals = signals
        self._loop = loop
        self._log = log

    def objection(self, program: str) -> str | None:
        """Why this program cannot be it; None: it may be tried."""
        try:
            mode = os.stat(program).st_mode
        except (OSError, ValueError):
            return "File not accessible."
        return None if stat.S_ISREG(mode) and mode & 0o111 else "File not executable."

    def take_over(
        self,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: ConnId | None,
        reply: bytes,
    ) -> str:
        """Why it failed; there is no return otherwise."""
        if program is None:
            command = _own_command()
        else:
            # The child would be looked for in PATH, what is executed would not.
            command = [os.path.join(os.curdir, program), *without_state(sys.argv[1:])]
        if arguments is not None:
            try:
                command[1:] = shlex.split(arguments)
            except ValueError as error:
                return f"The command line cannot be split: {error}."
        answered = None if asker is None else Answered(asker, reply)
        return self._replace(command, version, answered)

    def _replace(self, command: list[str], version: int | None, answered: Answered | None) -> str:
        daemon = self._loop.daemon
        version = version or stream_version(daemon)
        try:
            descriptors = self._loop.descriptors(self._log.handed_over)
            streams = {ConnId(number): fd for number, fd in descriptors.streams.items()}
            sockets = Sockets(descriptors.listening, streams)
            records, supplement = save_all(daemon, sockets, answered, version)
            state = encode_handover(records, version, supplement, descriptors)
            with _memory(state) as fd:
                command += [STATE_OPTION, str(fd)]
                if (refusal := _refusal(command, fd, len(state))) is not None:
                    return refusal
                self._execute(command, (fd, *descriptors.all()))
        except StateError as error:
            return f"The state cannot be handed over: {error}."
        except OSError as error:
            return f"Error activating new binary: {error.strerror}: {error.filename or command[0]}"

    def _execute(self, command: list[str], descriptors: Sequence[int]) -> NoReturn:
        """Become this program, with these descriptors open. Raises: OSError, with all as it was."""
        self._signals.hold_back()
        try:
            for fd in descriptors:
                os.set_inheritable(fd, True)
            os.execv(command[0], command)
        finally:
            for fd in descriptors:
                os.set_inheritable(fd, False)
            self._signals.release()


def _own_command() -> list[str]:
    return [sys.executable, *without_state(sys.orig_argv[1:])]


@contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """A descriptor of a file in memory with these bytes."""
    fd = os.memfd_create("xenstore-sim-state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        yield fd
    finally:
        os.close(fd)


def _refusal(command: Sequence[str], fd: int, size: int) -> str | None:
    """Why the program would not go on with the state; None: it would."""
    try:
        looked = subprocess.run(
            [*command, CHECK_OPTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_S,
            check=False,
            pass_fds=[fd],
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not look at the state within {CHECK_S:g} s."
    if not looked.returncode and looked.stdout.decode(errors="replace").strip() == acceptance(size):
        return None
    words = (looked.stderr or looked.stdout).decode(errors="replace").strip().splitlines()
    # It becomes part of a reply, which is bytes and has a bound, and of a line for the operator.
    said = ascii(words[-1])[1:-1][:_SAID_MAX] if words else "it said nothing"
    return f"{command[0]} does not take over, status {looked.returncode}: {said}"
