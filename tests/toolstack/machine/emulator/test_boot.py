"""Real kernels through the real BIOS extension, placed by hand."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devicemodel.bios_extension.block import DEFAULT_BLOCK_GPA, Copy, ParameterBlock, RealModeEntry
from devicemodel.bios_extension.block_codec import encode
from devicemodel.bios_extension.rom import rom_image
from handoff.addresses import MIB, Gpa, GpaRange
from tests.toolstack.machine.emulator.guest import Guest, guest
from toolstack.builtin_guest import COMMAND_LINE, INITRD, kernel_path
from toolstack.images import ensure
from toolstack.machine.emulator.emulator import Emulator
from toolstack.machine.emulator.stop import GuestStopped, StopReason

MEMORY_BYTES = 512 * MIB
KERNEL = Gpa(0x200000)
STAGED_SETUP, STAGED_COMMAND_LINE = Gpa(0x8000000), Gpa(0x8010000)
INITRD_AT = Gpa(0x9000000)
SETUP, COMMAND_LINE_AT = Gpa(0x10000), Gpa(0x20000)
HEAP_END = 0xE000
DEBIAN_COMMAND_LINE = "nokaslr quiet panic=1"
LONG_MODE_COMMAND_LINE = "earlyprintk=ttyS0 nokaslr"
INITIAL_MEDIA = b"an initrd of no particular format" * 99


@dataclass(frozen=True)
class Loaded:
    """A kernel cut in two and its header filled in, as the Linux boot protocol asks."""

    setup: bytes
    protected: bytes
    file: bytes


def load(file: bytes, initrd: bytes) -> Loaded:
    size = ((file[0x1F1] or 4) + 1) * 512
    setup = bytearray(file[:size])
    setup[0x210] = 0xFF
    setup[0x211] |= 0x80
    struct.pack_into("<I", setup, 0x214, KERNEL)
    struct.pack_into("<II", setup, 0x218, INITRD_AT, len(initrd))
    struct.pack_into("<H", setup, 0x224, HEAP_END - 0x200)
    struct.pack_into("<I", setup, 0x228, COMMAND_LINE_AT)
    return Loaded(bytes(setup), file[size:], file)


def place(machine: Guest, kernel: Loaded, initrd: bytes, command_line: str) -> None:
    text = command_line.encode() + b"\0"
    machine.ram.write(KERNEL, kernel.protected)
    machine.ram.write(INITRD_AT, initrd)
    machine.ram.write(STAGED_SETUP, kernel.setup)
    machine.ram.write(STAGED_COMMAND_LINE, text)
    segment = SETUP >> 4
    block = ParameterBlock(
        RealModeEntry(cs=segment + 0x20, ip=0, ss=segment, sp=HEAP_END - 16, ds=segment),
        steps=(
            Copy(GpaRange(STAGED_SETUP, len(kernel.setup)), SETUP),
            Copy(GpaRange(STAGED_COMMAND_LINE, len(text)), COMMAND_LINE_AT),
        ),
    )
    machine.ram.write(DEFAULT_BLOCK_GPA, encode(block))
    machine.insert(rom_image())


@pytest.fixture
def machine() -> Iterator[Guest]:
    with guest(MEMORY_BYTES) as machine:
        yield machine


def test_the_builtin_guest_tells_its_command_line_initrd_and_memory_map(machine: Guest) -> None:
    kernel = load(kernel_path().read_bytes(), INITRD)
    place(machine, kernel, INITRD, COMMAND_LINE)
    with machine.start() as emulator:
        stop = emulator.run()
    console = machine.console.decode()
    assert stop.reason is StopReason.POWERED_OFF, stop.detail
    assert COMMAND_LINE in console
    assert f"{len(INITRD)}" in console
    assert console.rstrip().endswith("builtin-guest: done")


@pytest.fixture(scope="module")
def debian() -> bytes:
    (image,) = ensure(("vmlinuz",))
    return Path(image.path).read_bytes()


@dataclass(frozen=True)
class Entered:
    """Debian's kernel at its 32-bit entry."""

    guest: Guest
    kernel: Loaded
    parameters: bytes
    """the boot_params page"""

    def header(self, offset: int, size: int) -> int:
        return int.from_bytes(self.parameters[offset : offset + size], "little")


@pytest.fixture(scope="module")
def entered(debian: bytes) -> Iterator[Entered]:
    kernel = load(debian, INITIAL_MEDIA)
    with guest(MEMORY_BYTES) as machine:
        place(machine, kernel, INITIAL_MEDIA, DEBIAN_COMMAND_LINE)
        with machine.start() as emulator:
            stop = emulator.run(until=KERNEL)
            assert stop.reason is StopReason.BREAKPOINT, stop.detail
            registers = stop.registers
            assert (registers.eip, registers.cr0 & 0x80000001) == (KERNEL, 1)
            assert (registers.cs, registers.ds, registers.es, registers.ss) == (16, 24, 24, 24)
            assert (registers.ebp, registers.edi, registers.ebx) == (0, 0, 0)
            assert registers.eflags & 0x200 == 0
        yield Entered(machine, kernel, machine.read(registers.esi, 0x1000))


def test_boot_params_hold_the_setup_header_as_loaded(entered: Entered) -> None:
    end = 0x202 + entered.kernel.file[0x201]
    vid_mode = slice(0x1FA - 0x1F1, 0x1FC - 0x1F1)
    got, loaded = bytearray(entered.parameters[0x1F1:end]), entered.kernel.setup[0x1F1:end]
    # Setup code puts the video mode it found where the loader's wish was.
    got[vid_mode] = loaded[vid_mode]
    assert got == loaded


@pytest.mark.parametrize(
    ("offset", "size", "value"),
    [
        pytest.param(0x1EF, 1, 0, id="sentinel"),
        pytest.param(0x1FE, 2, 0xAA55, id="boot_flag"),
        pytest.param(0x202, 4, 0x53726448, id="header"),
        pytest.param(0x210, 1, 0xFF, id="type_of_loader"),
        pytest.param(0x211, 1, 0x81, id="loadflags"),
        pytest.param(0x214, 4, KERNEL, id="code32_start"),
        pytest.param(0x218, 4, INITRD_AT, id="ramdisk_image"),
        pytest.param(0x21C, 4, len(INITIAL_MEDIA), id="ramdisk_size"),
        pytest.param(0x228, 4, COMMAND_LINE_AT, id="cmd_line_ptr"),
        pytest.param(0x250, 8, 0, id="setup_data"),
        pytest.param(0x0C0, 12, 0, id="high halves of image, size and command line"),
        pytest.param(0x1E0, 4, MEMORY_BYTES // 1024 - 1024, id="alt_mem_k"),
        pytest.param(0x002, 2, 63 * 1024, id="ext_mem_k"),
        pytest.param(0x006, 1, 3, id="orig_video_mode"),
        pytest.param(0x007, 1, 80, id="orig_video_cols"),
        pytest.param(0x00E, 1, 25, id="orig_video_lines"),
        pytest.param(0x1E9, 1, 0, id="eddbuf_entries"),
        pytest.param(0x1EA, 1, 0, id="edd_mbr_sig_buf_entries"),
    ],
)
def test_boot_params_field(entered: Entered, offset: int, size: int, value: int) -> None:
    assert entered.header(offset, size) == value


def test_boot_params_hold_the_memory_map_the_bios_was_given(entered: Entered) -> None:
    expected = [
        (entry.range.start, entry.range.size, int(entry.type))
        for entry in entered.guest.e820.entries
    ]
    count = entered.header(0x1E8, 1)
    table = entered.parameters[0x2D0 : 0x2D0 + 20 * count]
    assert list(struct.iter_unpack("<QQI", table)) == expected


def test_images_and_command_line_are_intact_at_the_entry(entered: Entered) -> None:
    machine, kernel = entered.guest, entered.kernel
    assert machine.read(KERNEL, len(kernel.protected)) == kernel.protected
    assert machine.read(INITRD_AT, len(INITIAL_MEDIA)) == INITIAL_MEDIA
    line = DEBIAN_COMMAND_LINE.encode() + b"\0"
    assert machine.read(COMMAND_LINE_AT, len(line)) == line


class UntilLine:
    """A console that stops the guest after a line with `wanted` in it."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        self.text = bytearray()

    def __call__(self, sent: bytes) -> None:
        self.text += sent
        if sent == b"\n" and self._wanted in self.text:
            raise GuestStopped(StopReason.BREAKPOINT, "said what was waited for")


def test_debians_kernel_unpacks_itself_and_speaks_from_long_mode(
    machine: Guest, debian: bytes
) -> None:
    """It gets there through page faults that its own handlers resolve."""
    place(machine, load(debian, b""), b"", LONG_MODE_COMMAND_LINE)
    console = UntilLine(b"Kernel command line: ")
    with Emulator(
        machine.fd, machine.regions, machine.e820, console=console, log=machine.log.append
    ) as emulator:
        stop = emulator.run()
    assert stop.reason is StopReason.BREAKPOINT, stop.detail
    version = int.from_bytes(debian[0x20E:0x210], "little") + 0x200
    assert b"Linux version " + debian[version:].split(b" ")[0] in console.text
    assert LONG_MODE_COMMAND_LINE.encode() in console.text
