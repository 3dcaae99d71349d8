"""The I/O port space: which device answers, and what nobody answers."""

from __future__ import annotations

from typing import Protocol

from handoff.addresses import GpaRange

PORTS = 0x10000


class PortDevice(Protocol):
    """A device behind I/O ports; port numbers are those the guest used."""

    def read(self, port: int, size: int) -> int:
        """The value of an IN of `size` bytes (1, 2 or 4). May raise GuestStopped."""

    def write(self, port: int, size: int, value: int) -> None:
        """An OUT of `size` bytes. May raise GuestStopped."""


class StringPortDevice(PortDevice, Protocol):
    """A device that is told of a string instruction as a whole."""

    def read_string(self, port: int, size: int, to: GpaRange) -> None:
        """Fills `to`, which is RAM, with what INs of `size` bytes give, one after the other.

        May raise GuestStopped."""


class PortBus:
    """Ports by number; an access belongs to the device of its first port."""

    def __init__(self) -> None:
        self._devices: dict[int, PortDevice] = {}
        self._string_devices: dict[int, StringPortDevice] = {}
        self.accesses = 0
        """reads and writes so far, answered or not: a sign of life"""

    def claim(self, ports: range, device: PortDevice) -> None:
        """Gives `ports` to `device`. Raises: ValueError if one is taken or out of range."""
        for port in ports:
            if not 0 <= port < PORTS or port in self._devices:
                raise ValueError(f"I/O port {port:#x} is taken or not below {PORTS:#x}")
        self._devices.update(dict.fromkeys(ports, device))

    def claim_strings(self, ports: range, device: StringPortDevice) -> None:
        """The same for a device that takes string instructions. Raises: ValueError."""
        self.claim(ports, device)
        self._string_devices.update(dict.fromkeys(ports, device))

    def string_device(self, port: int) -> StringPortDevice | None:
        """The device that takes string instructions at `port`, if there is one."""
        return self._string_devices.get(port)

    def read(self, port: int, size: int) -> int:
        """What IN gives: all ones where nobody answers, as on an ISA bus."""
        self.accesses += 1
        ones = (1 << 8 * size) - 1
        device = self._devices.get(port)
        return ones if device is None else device.read(port, size) & ones

    def write(self, port: int, size: int, value: int) -> None:
        """What OUT does: nothing where nobody answers."""
        self.accesses += 1
        device = self._devices.get(port)
        if device is not None:
            device.write(port, size, value & ((1 << 8 * size) - 1))
