"""What a client says in a round, and what it must hear; the daemons differ in nothing of it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import NO_TX
from xenstore_sim.wire.ops import Op

ANY: Final = 2**32 - 1
"""In the place of a type: what is not checked. As native/load.c has it."""


class Kind(IntEnum):
    """As native/load.c has them."""

    EXCHANGE = 0
    CONNECT = 1
    HANG_UP = 2


class Tx(IntEnum):
    """As native/load.c has them."""

    NONE = 0
    BEGINS = 1
    WITHIN = 2


OK: Final = b"OK\0"


def text(*strings: str) -> bytes:
    """A payload of strings, each with its NUL."""
    return b"".join(each.encode() + b"\0" for each in strings)


def packet(op: Op, payload: bytes, answer_bytes: int = len(OK)) -> bytes:
    """A request; its req_id is the size of the right answer, which is all that the floor knows."""
    return encode_packet(op, answer_bytes, NO_TX, payload)


@dataclass(frozen=True, slots=True)
class Step:
    """Send what there is to send on one port, then wait for so many messages there."""

    port: int
    sent: bytes = b""
    messages: int = 0
    type: int = ANY
    expected: bytes | None = None
    """The payload of each message; None: any."""
    tx: Tx = Tx.NONE
    kind: Kind = Kind.EXCHANGE

    @classmethod
    def ask(
        cls,
        port: int,
        op: Op,
        payload: bytes,
        answer: bytes = OK,
        *,
        times: int = 1,
        tx: Tx = Tx.NONE,
        error: bool = False,
    ) -> Self:
        """The same request so many times at once, and the answers to all."""
        sent = packet(op, payload, len(answer)) * times
        return cls(port, sent, times, Op.ERROR if error else op, answer, tx)

    @classmethod
    def begin(cls, port: int) -> Self:
        """TRANSACTION_START; `Tx.WITHIN` is in this transaction from now on."""
        sent = packet(Op.TRANSACTION_START, b"\0", 2)
        return cls(port, sent, 1, Op.TRANSACTION_START, tx=Tx.BEGINS)

    @classmethod
    def end(cls, port: int, refused: bytes | None = None) -> Self:
        """TRANSACTION_END that commits. refused: the error it must meet."""
        return cls.ask(
            port,
            Op.TRANSACTION_END,
            b"T\0",
            refused or OK,
            tx=Tx.WITHIN,
            error=refused is not None,
        )
