"""The 16550."""

from toolstack.machine.emulator.serial import COM1, Serial16550

BASE = COM1.start


def test_bytes_written_to_the_data_register_come_out_in_order() -> None:
    sent = bytearray()
    port = Serial16550(sent.extend)
    for byte in b"Linux":
        assert port.read(BASE + 5, 1) & 0x60 == 0x60
        port.write(BASE, 1, byte)
    assert sent == b"Linux"


def test_the_divisor_latch_hides_the_data_register() -> None:
    sent = bytearray()
    port = Serial16550(sent.extend)
    port.write(BASE + 3, 1, 0x83)
    port.write(BASE, 1, 0x01)
    port.write(BASE + 1, 1, 0x02)
    assert (port.read(BASE, 1), port.read(BASE + 1, 1)) == (0x01, 0x02)
    port.write(BASE + 3, 1, 0x03)
    assert port.read(BASE + 1, 1) == 0
    assert sent == b""


def test_the_scratch_and_enable_registers_answer_a_probe_as_a_16550_does() -> None:
    port = Serial16550(bytearray().extend)
    port.write(BASE + 7, 1, 0xA5)
    assert port.read(BASE + 7, 1) == 0xA5
    port.write(BASE + 1, 1, 0xFF)
    assert port.read(BASE + 1, 1) == 0x0F
    assert port.read(BASE + 2, 1) == 0x01
    port.write(BASE + 2, 1, 0x01)
    assert port.read(BASE + 2, 1) == 0xC1


def test_loopback_returns_modem_lines_and_data_and_sends_nothing() -> None:
    sent = bytearray()
    port = Serial16550(sent.extend)
    port.write(BASE + 4, 1, 0x1A)
    assert port.read(BASE + 6, 1) & 0xF0 == 0x90
    port.write(BASE, 1, 0x42)
    assert port.read(BASE + 5, 1) & 1 == 1
    assert port.read(BASE, 1) == 0x42
    assert port.read(BASE + 5, 1) & 1 == 0
    assert sent == b""
