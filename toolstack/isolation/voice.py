"""A xenstore connection that says whatever it is told to, well-formed or not."""

from __future__ import annotations

import time
from collections import deque

from toolstack.isolation.wire import Wire
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.strings import terminated

ANSWER_S = 2.0


class Refused(Exception):
    """xenstored said no."""

    def __init__(self, errno: str) -> None:
        super().__init__(errno)
        self.errno = errno


class HungUp(Exception):
    """xenstored ended the connection, or said nothing for ANSWER_S seconds."""


class Voice:
    """Requests one after another, without an event loop."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._decoder = Decoder()
        self._events: deque[Packet] = deque()
        self._last_request = 0

    def ask(self, op: Op, *words: str, value: bytes = b"", tx: int = 0) -> bytes:
        """The answer's payload. Raises: Refused, HungUp."""
        self._last_request += 1
        payload = terminated(*words) + value
        self.send(encode_packet(op, self._last_request, tx, payload))
        while True:
            packet = self._next()
            if packet.type == Op.WATCH_EVENT:
                self._events.append(packet)
            elif packet.req_id == self._last_request:
                if packet.type == Op.ERROR:
                    raise Refused(packet.payload.rstrip(b"\0").decode("latin-1"))
                return packet.payload

    def send(self, data: bytes) -> None:
        """Raises: HungUp."""
        try:
            self._wire.send(data, ANSWER_S)
        except OSError as error:
            raise HungUp(f"xenstored hung up ({error.strerror or 'it reads no more'})") from error

    def event(self, seconds: float) -> bytes | None:
        """The next watch event's payload, None if there is none for so long. Raises: HungUp."""
        deadline = time.monotonic() + seconds
        while not self._events and (left := deadline - time.monotonic()) > 0:
            packet = self._receive(left)
            if packet is not None and packet.type == Op.WATCH_EVENT:
                self._events.append(packet)
        return self._events.popleft().payload if self._events else None

    def _next(self) -> Packet:
        packet = self._receive(ANSWER_S)
        if packet is None:
            raise HungUp(f"no answer in {ANSWER_S:g} s")
        return packet

    def _receive(self, seconds: float) -> Packet | None:
        """The next message, None if there is none for so long. Raises: HungUp."""
        deadline = time.monotonic() + seconds
        while True:
            packet = self._decoder.next_packet()
            if packet is not None:
                return packet
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                data = self._wire.receive(left)
            except TimeoutError:
                return None
            except OSError as error:
                raise HungUp(f"xenstored hung up ({error.strerror})") from error
            if not data:
                raise HungUp("xenstored hung up")
            self._decoder.feed(data)
