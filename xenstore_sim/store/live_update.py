"""CONTROL live-update: another program takes the daemon's place and goes on with everything.

Nothing has to wait for open transactions, as they live on: -t and -F change nothing.
Source: docs/misc/xenstore.txt, CONTROL; C xenstored for the order of the steps and its texts.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.ops import Errno

_OK: Final = "OK"
NOT_AVAILABLE: Final = "live update is not available in this daemon: stop it and start it again"
_VERSIONS: Final = ("1", "2")


class Successor(Protocol):
    """What puts another program in this one's place. It is the shell's: the core starts none."""

    def objection(self, program: str) -> str | None:
        """Why this program cannot be it; None: it may be tried."""

    def take_over(
        self,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: ConnId | None,
        reply: bytes,
    ) -> str:
        """Why it failed and this program goes on; there is no return otherwise.

        program, arguments: None: those of this one. version: of the migration format; None: that
        of the release. reply: what the asker, if there is one, hears from the other program.
        """


class LiveUpdate:
    """One update at a time, prepared and started by the same connection."""

    __slots__ = ("_arguments", "_owner", "_program", "successor")

    def __init__(self) -> None:
        self.successor: Successor | None = None
        """None: nothing can take this program's place."""
        self._owner: ConnId | None = None
        self._program: str | None = None
        self._arguments: str | None = None

    def now(self) -> str:
        """Let this program's like take its place; why it failed."""
        if self.successor is None:
            return NOT_AVAILABLE
        return self.successor.take_over(None, None, None, None, b"")

    def end_of(self, conn: ConnId) -> None:
        """The connection is gone, and what it prepared."""
        if conn == self._owner:
            self._owner = None

    def control(self, args: list[str], conn: ConnId, reply: bytes, compat: Compat) -> str:
        """The text of the answer. reply: the whole of it where the other program gives it.

        Raises: Refusal, EINVAL.
        """
        match args:
            case ["-a"]:
                return self._abort()
            case ["-c", arguments]:
                return self._prepare(conn, arguments)
            case ["-f", program]:
                return self._begin(conn, program)
            case ["-s", *options]:
                return self._start(conn, reply, _version(options, compat))
        raise Refusal(Errno.EINVAL)

    def _begin(self, conn: ConnId, program: str) -> str:
        if self.successor is None:
            return NOT_AVAILABLE
        if (objection := self.successor.objection(program)) is not None:
            return objection
        if self._owner is not None:
            return "live-update session already active."
        self._owner, self._program, self._arguments = conn, program, None
        return _OK

    def _prepare(self, conn: ConnId, arguments: str) -> str:
        if conn != self._owner:
            return "Not in live-update session."
        self._arguments = arguments
        return _OK

    def _abort(self) -> str:
        if self._owner is None:
            return "No live-update session active."
        self._owner = None
        return _OK

    def _start(self, conn: ConnId, reply: bytes, version: int | None) -> str:
        if conn != self._owner or self.successor is None:
            return "Not in live-update session."
        self._owner = None
        return self.successor.take_over(self._program, self._arguments, version, conn, reply)


def _version(options: list[str], compat: Compat) -> int | None:
    """What the options ask for, if they do. Raises: Refusal, EINVAL."""
    version = None
    rest = iter(options)
    for option in rest:
        match option:
            case "-F":
                pass
            case "-t":
                _argument(rest)
            case "-v" if compat.watch_depth:
                text = _argument(rest)
                if text not in _VERSIONS:
                    raise Refusal(Errno.EINVAL)
                version = int(text)
            case _:
                raise Refusal(Errno.EINVAL)
    return version


def _argument(rest: Iterator[str]) -> str:
    """Raises: Refusal, EINVAL, where there is none."""
    text = next(rest, None)
    if text is None:
        raise Refusal(Errno.EINVAL)
    return text
