"""Linux's xenstore device as a client's transport: /dev/xen/xenbus, which every domain has.

Source: Linux drivers/xen/xenbus/xenbus_dev_frontend.c, and observed on 6.1. One write carries one
whole message: what follows in the same write is lost. The driver has room for one request: a second
one before the answer overwrites it on its way, and a watch then stops the domain's whole xenstore,
since its write waits for xenstored under the lock that the answer before it needs. So there is one
request at a time here, as libxenstore makes them. The device never says that it is writable.
"""

import os
import stat
from contextlib import suppress
from typing import Final, Self

import trio

from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX
from xenstore_sim.wire.ops import Op

DEVICES: Final = ("/dev/xen/xenbus", "/proc/xen/xenbus")
"""Where Linux has it, in the order libxenstore tries them."""
_RECEIVE_BYTES: Final = 16 * (HEADER_SIZE + PAYLOAD_MAX)


class DeviceTransport:
    """The device, open and non-blocking; every opening is a connection of its own."""

    __slots__ = ("_answers", "_awaiting", "_fd")

    def __init__(self, fd: int) -> None:
        """fd: closed at the end."""
        self._fd = fd
        self._awaiting = False
        """The answer to what was sent last has not come, or not all of it."""
        self._answers = Decoder()
        os.set_blocking(fd, False)

    @classmethod
    def open(cls, path: str | None = None) -> Self:
        """path: None tries DEVICES. Raises: Disconnected."""
        reasons = []
        for device in DEVICES if path is None else (path,):
            try:
                return cls(os.open(device, os.O_RDWR | os.O_CLOEXEC))
            except OSError as error:
                reasons.append(f"{device}: {error.strerror}")
        raise Disconnected(
            f"no xenstore device ({', '.join(reasons)}): this is no domain of a Xen host, or"
            " xenfs and xen-evtchn are not there, or it is for root alone"
        )

    @property
    def descriptor(self) -> int:
        """The device's, for a process that closes all others."""
        return self._fd

    def receive(self) -> bytes:
        """The bytes that came. Raises: BlockingIOError, Disconnected, ProtocolViolation."""
        try:
            data = os.read(self._fd, _RECEIVE_BYTES)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _broke(error) from error
        if not data:
            raise Disconnected("the xenstore device gives no more answers")
        self._answers.feed(data)
        while (packet := self._answers.next_packet()) is not None:
            if packet.type != Op.WATCH_EVENT:
                self._awaiting = False
        return data

    def send(self, data: bytearray) -> int:
        """How many bytes are on their way: those of the first message. Raises: BlockingIOError
        until the last one is answered; Disconnected."""
        if self._awaiting:
            raise BlockingIOError
        _, _, _, payload_size = HEADER.unpack_from(data)
        size: int = HEADER_SIZE + payload_size
        try:
            sent = os.write(self._fd, data[:size])
        except BlockingIOError:
            raise
        except OSError as error:
            raise _broke(error) from error
        if sent != size:
            raise Disconnected(f"the xenstore device took {sent} bytes of a message of {size}")
        self._awaiting = True
        return size

    async def wait(self, *, to_send: bool) -> None:
        """Return when something came, or the device is closed."""
        # What waits to be sent waits for an answer.
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(self._fd)

    def close(self) -> None:
        """Close the device, and end every wait."""
        trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)


def is_device(fd: int) -> bool:
    """Whether this descriptor is a device's, and not a socket's."""
    return stat.S_ISCHR(os.fstat(fd).st_mode)


def _broke(error: OSError) -> Disconnected:
    return Disconnected(f"the xenstore device failed: {error.strerror or error}")
