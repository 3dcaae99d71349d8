"""CONTROL live-update: another program takes the daemon's place and goes on with everything.

Nothing has to wait for open transactions, as they live on: -t and -F change nothing.
Source: docs/misc/xenstore.txt, CONTROL; C xenstored for the order of the steps and its texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.layout import PAYLOAD_MAX, encode_packet
from xenstore_sim.wire.names import ReqId, TxId
from xenstore_sim.wire.ops import Errno, Op

_OK: Final = "OK"
_ACTIVE: Final = "live-update session already active."
NOT_AVAILABLE: Final = "live update is not available in this daemon: stop it and start it again"
_VERSIONS: Final = ("1", "2")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked by CONTROL for the update, and hears of its end."""

    conn: ConnId
    req_id: ReqId
    tx_id: TxId

    def reply(self, text: str) -> bytes:
        """The whole of it; of a text that is too long its end, which says why."""
        payload = f"{text}\0".encode("ascii")[-PAYLOAD_MAX:]
        return encode_packet(Op.CONTROL, self.req_id, self.tx_id, payload)


class Successor(Protocol):
    """What puts another program in this one's place. It is the shell's: the core starts none."""

    def objection(self, program: str) -> str | None:
        """Why this program cannot be it; None: it may be tried."""

    def take_over(
        self,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: Asker | None,
    ) -> None:
        """Begin with it; `Daemon.not_succeeded` hears of its failure, nobody of its success.

        program, arguments: None: those of this one. version: of the migration format; None: that
        of the release. asker: who hears OK from the other program.
        """


class LiveUpdate:
    """One update at a time, prepared and started by the same connection."""

    __slots__ = ("_arguments", "_asker", "_owner", "_program", "_under_way", "successor")

    def __init__(self) -> None:
        self.successor: Successor | None = None
        """None: nothing can take this program's place."""
        self._owner: ConnId | None = None
        self._program: str | None = None
        self._arguments: str | None = None
        self._under_way = False
        self._asker: Asker | None = None
        """Of the one that is under way."""

    def now(self) -> str | None:
        """Let this program's like take its place; why that is not even tried."""
        if self.successor is None:
            return NOT_AVAILABLE
        if self._under_way:
            return _ACTIVE
        self._begun(self.successor, None, None, None, None)
        return None

    def failed(self) -> Asker | None:
        """The one that was under way came to nothing; who asked for it."""
        asker, self._asker, self._under_way = self._asker, None, False
        return asker

    def end_of(self, conn: ConnId) -> None:
        """The connection is gone, and what it prepared."""
        if conn == self._owner:
            self._owner = None

    def control(self, args: list[str], asker: Asker, compat: Compat) -> str | None:
        """The text of the answer; None: it comes when the update has failed or succeeded.

        Raises: Refusal, EINVAL.
        """
        conn = asker.conn
        match args:
            case ["-a"]:
                return self._abort()
            case ["-c", arguments]:
                return self._prepare(conn, arguments)
            case ["-f", program]:
                return self._begin(conn, program)
            case ["-s", *options]:
                return self._start(asker, _version(options, compat))
        raise Refusal(Errno.EINVAL)

    def _begin(self, conn: ConnId, program: str) -> str:
        if self.successor is None:
            return NOT_AVAILABLE
        if (objection := self.successor.objection(program)) is not None:
            return objection
        if self._owner is not None or self._under_way:
            return _ACTIVE
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

    def _start(self, asker: Asker, version: int | None) -> str | None:
        if asker.conn != self._owner or self.successor is None:
            return "Not in live-update session."
        self._owner = None
        if self._under_way:
            return _ACTIVE
        self._begun(self.successor, self._program, self._arguments, version, asker)
        return None

    def _begun(
        self,
        successor: Successor,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: Asker | None,
    ) -> None:
        self._under_way, self._asker = True, asker
        successor.take_over(program, arguments, version, asker)


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
