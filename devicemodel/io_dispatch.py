"""Which device of the device model answers a request of the machine."""

from __future__ import annotations

from typing import Protocol

from handoff.guest_ram import GuestRam
from handoff.ioreq import Direction, Ioreq, IoreqType


class PortDevice(Protocol):
    """A device behind I/O ports."""

    def read(self, port: int, size: int) -> int:
        """What IN of `size` bytes gives."""

    def read_string(self, port: int, size: int, count: int) -> bytes:
        """What `count` of them give, one after the other."""

    def write(self, port: int, size: int, value: int) -> None:
        """OUT of `size` bytes."""


class IoDispatch:
    """The devices of one guest, by port. Where there is none, reads give all ones."""

    def __init__(self, ram: GuestRam) -> None:
        self._ram = ram
        self._devices: list[tuple[range, PortDevice]] = []

    def claim(self, ports: range, device: PortDevice) -> None:
        """Gives `ports` to `device`."""
        self._devices.append((ports, device))

    def answer(self, request: Ioreq) -> Ioreq:
        """Does what `request` asks and gives the answer to it.

        Raises: RamAccessError if its data do not lie in RAM, ImageError if a device could not
        read what it serves.
        """
        device = self._device(request)
        reads = request.direction is Direction.READ
        if not request.data_is_ptr:
            if reads:
                return request.answered(_read(device, request.addr, request.size))
            if device is not None:
                device.write(request.addr, request.size, request.data)
            return request.answered()
        if reads:
            data = _read_string(device, request)
            self._ram.write(request.buffer.start, _turned(data, request))
        else:
            data = _turned(self._ram.read(request.buffer), request)
            if device is not None:
                for at in range(0, len(data), request.size):
                    value = int.from_bytes(data[at : at + request.size], "little")
                    device.write(request.addr, request.size, value)
        return request.answered()

    def _device(self, request: Ioreq) -> PortDevice | None:
        if request.type is IoreqType.COPY:
            return None
        return next((device for ports, device in self._devices if request.addr in ports), None)


def _read(device: PortDevice | None, port: int, size: int) -> int:
    return (1 << 8 * size) - 1 if device is None else device.read(port, size)


def _read_string(device: PortDevice | None, request: Ioreq) -> bytes:
    if device is None:
        return b"\xff" * (request.size * request.count)
    return device.read_string(request.addr, request.size, request.count)


def _turned(data: bytes, request: Ioreq) -> bytes:
    """`data` in the order of addresses if it is in that of accesses, and the other way round."""
    if not request.descending:
        return data
    starts = range(len(data) - request.size, -1, -request.size)
    return b"".join(data[at : at + request.size] for at in starts)
