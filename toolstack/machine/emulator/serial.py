"""The first serial port: a 16550 whose transmitter is always ready and whose line is silent.

Source: National Semiconductor PC16550D data sheet.
"""

from __future__ import annotations

from collections.abc import Callable

COM1 = range(0x3F8, 0x400)

_DATA, _INTERRUPT_ENABLE, _IDENTIFY, _LINE_CONTROL, _MODEM_CONTROL = range(5)
_LINE_STATUS, _MODEM_STATUS, _SCRATCH = range(5, 8)

_DIVISOR_LATCH = 0x80
_LOOPBACK = 0x10
_FIFO_ENABLED = 0xC0
_NO_INTERRUPT = 0x01
_TRANSMITTER_EMPTY = 0x60
_DATA_READY = 0x01
_CARRIER_DSR_CTS = 0xB0


class Serial16550:
    """Implements PortDevice; every byte the guest sends goes to `console` at once."""

    def __init__(self, console: Callable[[bytes], None]) -> None:
        self._console = console
        self._registers = bytearray(8)
        self._divisor = bytearray((12, 0))
        self._fifo = False
        self._looped: int | None = None

    def read(self, port: int, size: int) -> int:
        register = port & 7
        if register <= _INTERRUPT_ENABLE and self._latch_open():
            return self._divisor[register]
        if register == _DATA:
            received, self._looped = self._looped, None
            return received or 0
        if register == _IDENTIFY:
            return _NO_INTERRUPT | (_FIFO_ENABLED if self._fifo else 0)
        if register == _LINE_STATUS:
            return _TRANSMITTER_EMPTY | (0 if self._looped is None else _DATA_READY)
        if register == _MODEM_STATUS:
            return self._modem_status()
        return self._registers[register]

    def write(self, port: int, size: int, value: int) -> None:
        register, value = port & 7, value & 0xFF
        if register <= _INTERRUPT_ENABLE and self._latch_open():
            self._divisor[register] = value
        elif register == _DATA:
            self._transmit(value)
        elif register == _IDENTIFY:
            self._fifo = bool(value & 1)
        elif register not in (_LINE_STATUS, _MODEM_STATUS):
            # Interrupt enable and modem control have fewer than eight bits; drivers look.
            mask = {_INTERRUPT_ENABLE: 0x0F, _MODEM_CONTROL: 0x1F}.get(register, 0xFF)
            self._registers[register] = value & mask

    def _transmit(self, value: int) -> None:
        if self._registers[_MODEM_CONTROL] & _LOOPBACK:
            self._looped = value
        else:
            self._console(bytes((value,)))

    def _latch_open(self) -> bool:
        return bool(self._registers[_LINE_CONTROL] & _DIVISOR_LATCH)

    def _modem_status(self) -> int:
        control = self._registers[_MODEM_CONTROL]
        if not control & _LOOPBACK:
            return _CARRIER_DSR_CTS
        # In loopback RTS, DTR, OUT1 and OUT2 come back as CTS, DSR, RI and DCD.
        request, ready = control >> 1 & 1, control & 1
        return request << 4 | ready << 5 | (control >> 2 & 3) << 6
