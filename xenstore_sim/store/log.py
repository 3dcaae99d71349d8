"""The daemon's log: lines about messages and connections while it is on, words to its operator.

Off, it costs the test of one attribute a request. Times are the file's: the core has no clock.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from xenstore_sim.store.connection import Connection
from xenstore_sim.store.counters import Counters
from xenstore_sim.wire.layout import Packet
from xenstore_sim.wire.trace import message_line

SWITCHES: Final = ("obj", "io", "wrl", "acc", "tdb")
"""What C xenstored can log: objects, messages, write-rate limit, accounting, database. Here `io`
and `obj` have lines."""


class LogFile(Protocol):
    """Where lines go. Nothing here raises: a full disk is no reason to stop serving."""

    def open(self, path: str | None) -> bool:
        """Write to this file from now on, None: to the one before; whether it is open."""

    def close(self) -> None:
        """Write no more."""

    def write(self, line: str) -> bool:
        """Add a line; whether it could be written."""

    def append(self, path: str | None, text: str) -> bool:
        """Add a text to this file, None: to that of the log; whether it could be written."""

    def say(self, text: str) -> None:
        """Tell the operator."""


class NoLogFile:
    """For a daemon without files: nothing can be opened, nobody is told."""

    def open(self, path: str | None) -> bool:
        """False."""
        return False

    def close(self) -> None:
        """Nothing."""

    def write(self, line: str) -> bool:
        """False."""
        return False

    def append(self, path: str | None, text: str) -> bool:
        """False."""
        return False

    def say(self, text: str) -> None:
        """Nothing."""


class Log:
    """What is written, and whether."""

    __slots__ = ("_counters", "_file", "_open", "_switches", "io")

    def __init__(self, file: LogFile, counters: Counters) -> None:
        self._file = file
        self._counters = counters
        self._open = False
        self._switches = {"obj", "io"}
        self.io = False
        """Whether messages are written: to be tested before `message`."""

    def open(self, path: str | None) -> None:
        """Write to this file from now on, None: to the one before; counted where that fails."""
        self._open = self._file.open(path)
        if path is not None and not self._open:
            self._counters.log_failures += 1
        self._set_io()

    def close(self) -> None:
        """Write no more."""
        self._file.close()
        self._open = False
        self._set_io()

    @property
    def opened(self) -> bool:
        """Whether it is on."""
        return self._open

    def resume(self, *, opened: bool, switches: Iterable[str]) -> None:
        """Go on as in another daemon, with a file that is open if that was on."""
        self._open = opened
        self._switches = set(switches)
        self._set_io()

    def switch(self, name: str, *, on: bool) -> None:
        """Choose whether lines of this kind are written while the log is on."""
        if on:
            self._switches.add(name)
        else:
            self._switches.discard(name)
        self._set_io()

    def is_on(self, name: str) -> bool:
        """Whether lines of this kind are chosen."""
        return name in self._switches

    def message(self, conn: Connection, sign: str, packet: Packet) -> None:
        """A message. sign: `>` a request, `<` its reply, `!` an event."""
        self._write(f"{conn.name} {sign} {message_line(packet)}")

    def connection(self, conn: Connection, what: str) -> None:
        """A connection begins or ends."""
        if self._open and "obj" in self._switches:
            self._write(f"{conn.name} {what}")

    def say(self, text: str) -> None:
        """Tell the operator, whether the log is on or not."""
        if self._open:
            self._write(f"* {text}")
        self._file.say(text)

    def say_seldom(self, text: str, times: int) -> None:
        """The same of what happens for this time: the first, the second, the fourth and so on.

        Clients can make it happen as often as they like, and must not fill their host's log.
        """
        if not times & (times - 1):
            self.say(text if times == 1 else f"{text}, for the {times}. time")

    def report(self, path: str | None, text: str) -> bool:
        """Add a text to a file, None: to that of the log; whether it could be written."""
        return self._file.append(path, text)

    def _write(self, line: str) -> None:
        if not self._file.write(line):
            self._counters.log_failures += 1

    def _set_io(self) -> None:
        self.io = self._open and "io" in self._switches
