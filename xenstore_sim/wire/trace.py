"""One readable line for a message, for people who look at what was said."""

from typing import Final

from xenstore_sim.wire.layout import Packet
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.strings import ENCODING

PAYLOAD_SHOWN_MAX: Final = 200
"""Bytes of a payload that a line shows."""
_NAMES: Final = {op.value: op.name for op in Op}
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/@.,:=+")


def message_line(packet: Packet) -> str:
    """`WRITE req=7 tx=0 /a/b 'two words'`: printable ASCII, whatever the peer sent.

    Strings of the payload stand apart; a longer one than PAYLOAD_SHOWN_MAX bytes ends with its
    whole length.
    """
    name = _NAMES.get(packet.type, str(packet.type))
    head = f"{name} req={packet.req_id} tx={packet.tx_id}"
    return f"{head} {payload_text(packet.payload)}".rstrip()


def payload_text(payload: bytes) -> str:
    """The strings of a payload, quoted where they are not plain."""
    shown = payload[:PAYLOAD_SHOWN_MAX]
    texts = shown.removesuffix(b"\0").split(b"\0") if shown else ()
    cut = f" ... {len(payload)} bytes" if len(payload) > len(shown) else ""
    return " ".join(map(_quoted, texts)) + cut


def _quoted(text: bytes) -> str:
    plain = text.decode(ENCODING)
    return plain if plain and _PLAIN.issuperset(plain) else ascii(plain)
