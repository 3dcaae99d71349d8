"""Bytes in any portions become packets; an oversize length ends the stream."""

from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX, Packet


class Decoder:
    """What arrived and is not yet taken; the feeder bounds it by taking before feeding on."""

    __slots__ = ("_buffer", "_start")

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Append what the peer sent."""
        # Mostly all before is taken, and the data need not be copied.
        rest = self._buffer[self._start :]
        self._buffer = rest + data if rest else data
        self._start = 0

    def next_packet(self) -> Packet | None:
        """The next complete message, or None when more bytes are needed.

        Raises: ProtocolViolation on the header alone when its len is above PAYLOAD_MAX; where
        the next message would begin is then unknown, so it is raised again by each further call.
        """
        buffer = self._buffer
        body = self._start + HEADER_SIZE
        if len(buffer) < body:
            return None
        type_, req_id, tx_id, length = HEADER.unpack_from(buffer, self._start)
        if length > PAYLOAD_MAX:
            raise ProtocolViolation(
                f"a xenstore message of type {type_} announces a payload of {length:#x} bytes,"
                f" the bound is {PAYLOAD_MAX:#x}"
            )
        end = body + length
        if len(buffer) < end:
            return None
        self._start = end
        return Packet(type_, req_id, tx_id, buffer[body:end])

    def clear(self) -> None:
        """Forget what arrived."""
        self._buffer = b""
        self._start = 0

    @property
    def missing(self) -> int:
        """Bytes that the next header, or the message that it announces, still lacks."""
        if self.buffered < HEADER_SIZE:
            return HEADER_SIZE - self.buffered
        length: int = HEADER.unpack_from(self._buffer, self._start)[3]
        return max(0, HEADER_SIZE + length - self.buffered)

    @property
    def unread(self) -> bytes:
        """The bytes fed and not yet taken."""
        return bytes(self._buffer[self._start :])

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet taken."""
        return len(self._buffer) - self._start
