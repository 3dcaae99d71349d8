"""Puts another program in this one's place: it has the process id, and all descriptors live on.

First that program is tried as a child (`rehearsal`). Then this process becomes it by exec, while a
copy of the process serves until the program is there and takes the state (`succession`). Where it
does not, the copy goes on serving, as another process.
"""

import os
import shlex
import socket
import stat
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import trio

from xenstore_sim.collection import no_collection
from xenstore_sim.descriptors import Descriptors
from xenstore_sim.event_loop import EventLoop
from xenstore_sim.handover_codec import encode_handover
from xenstore_sim.log_file import LogFile
from xenstore_sim.migration.handing_on import save_all, stream_version
from xenstore_sim.migration.saving import Answered, Sockets
from xenstore_sim.rehearsal import refusal
from xenstore_sim.signal_queue import SignalQueue
from xenstore_sim.store.live_update import Asker
from xenstore_sim.store.watches import ConnId
from xenstore_sim.succession import READY, HandingOverFailed, become, give, keep

STATE_OPTION: Final = "--live-update"
"""Its argument is the descriptor of the new program's end of the succession."""
START_S: Final = 60.0
"""How long the other program may take to start. Clients are served meanwhile."""
_OK: Final = "OK"


def without_state(arguments: Sequence[str]) -> list[str]:
    """The same command line, as it was before the first live update."""
    if STATE_OPTION not in arguments:
        return list(arguments)
    at = list(arguments).index(STATE_OPTION)
    return [*arguments[:at], *arguments[at + 2 :]]


class Kept(Protocol):
    """Hears that the daemon goes on with its old program."""

    def __call__(self, reason: str, *, moved: bool) -> None:
        """reason: why. moved: this is another process now."""


class Replacement:
    """What takes the place of the running daemon."""

    def __init__(
        self,
        nursery: trio.Nursery,
        signals: SignalQueue,
        kept: Kept,
        pid_file: Path | None,
        loop: EventLoop,
        log: LogFile,
    ) -> None:
        """signals: of this process; the other program gets those that nobody took.

        kept: hears of a failed update. pid_file: where the process id of this one is.
        """
        self._nursery = nursery
        self._signals = signals
        self._kept = kept
        self._pid_file = pid_file
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
        asker: Asker | None,
    ) -> None:
        """Begin with it."""
        self._nursery.start_soon(self._replace, program, arguments, version, asker)

    async def _replace(
        self,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: Asker | None,
    ) -> None:
        process = os.getpid()
        try:
            command = _command(program, arguments)
            version = version or stream_version(self._loop.daemon)
            reason = await self._rehearse(command, version)
            if reason is None:
                reason = await self._succeed(command, version, asker)
        except HandingOverFailed as error:
            reason = str(error)
        except (OSError, MemoryError) as error:
            reason = f"The update cannot be tried: {_plain(error)}"
        moved = os.getpid() != process
        if moved:
            try:
                self._loop.rundir.note_process()
            except OSError as error:
                reason += f"; the lock cannot name it: {_plain(error)}"
            reason += f"; the daemon goes on as process {os.getpid()}"
        self._kept(reason, moved=moved)
        self._loop.interject(self._loop.daemon.not_succeeded(reason))

    async def _rehearse(self, command: Sequence[str], version: int) -> str | None:
        # Not in the copy, which has the same log.
        self._loop.interject(self._loop.daemon.let_go())
        return await refusal(command, lambda: self._state(version, None)[0])

    async def _succeed(self, command: Sequence[str], version: int, asker: Asker | None) -> str:
        """Why it failed; this is another process then, unless the program cannot be executed."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here:
            held = self._signals.hold_back()
            try:
                with there:
                    original = become([*command, STATE_OPTION, str(there.fileno())], there.fileno())
            except OSError as error:
                return f"Error activating new binary: {_plain(error)}"
            finally:
                self._signals.release()
            answered = None if asker is None else Answered(asker.conn, asker.reply(_OK))
            try:
                await _started(here)
                self._loop.interject(self._loop.daemon.let_go())
                with no_collection():
                    state, descriptors = self._state(version, answered)
                give(here, state, descriptors.all())
            except (HandingOverFailed, OSError, MemoryError) as error:
                return f"{ascii(command[0])[1:-1]} does not take over: {_plain(error)}"
            finally:
                keep(here, original)
                for number in held:
                    # The other program, which had them, is gone.
                    os.kill(os.getpid(), number)

    def _state(self, version: int, answered: Answered | None) -> tuple[bytes, Descriptors]:
        pid_file = None if self._pid_file is None else os.fspath(self._pid_file.absolute())
        descriptors = replace(self._loop.descriptors(self._log.handed_over), pid_file=pid_file)
        streams = {ConnId(number): fd for number, fd in descriptors.streams.items()}
        sockets = Sockets(descriptors.listening, streams)
        records, supplement = save_all(self._loop.daemon, sockets, answered, version)
        return encode_handover(records, version, supplement, descriptors), descriptors


def _command(program: str | None, arguments: str | None) -> list[str]:
    """What is to be executed. Raises: HandingOverFailed."""
    if program is None:
        command = [sys.executable, *without_state(sys.orig_argv[1:])]
    else:
        # What is executed is not looked for in PATH.
        command = [os.path.join(os.curdir, program), *without_state(sys.argv[1:])]
    if arguments is not None:
        try:
            command[1:] = shlex.split(arguments)
        except ValueError as error:
            raise HandingOverFailed(f"The command line cannot be split: {error}") from error
    return command


async def _started(end: socket.socket) -> None:
    """Return when the other program waits for the state. Raises: HandingOverFailed, OSError."""
    with trio.move_on_after(START_S) as limit:
        await trio.lowlevel.wait_readable(end)
    if limit.cancelled_caught:
        raise HandingOverFailed(f"it did not start within {START_S:g} s")
    if end.recv(len(READY)) != READY:
        raise HandingOverFailed("it ended as soon as it had started")


def _plain(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return ascii(text or type(error).__name__)[1:-1]
