"""The built-in guest, started by QEMU's own `-kernel` loader."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import threading
import time
import zlib
from pathlib import Path
from typing import IO

import pytest

from toolstack.builtin_guest import (
    COMMAND_LINE,
    INITRD,
    LAST_LINE,
    SOURCE,
    kernel_path,
    nonrelocatable_kernel_path,
)

SAY = "builtin-guest: "
DEADLINE_S = 60.0


def run(
    kernel: Path, initrd: Path | None, command_line: str | None, *options: str
) -> tuple[str, int]:
    """Serial output and exit status; the machine must end by itself."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-nodefaults"]
    command += ["-display", "none", "-vga", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", str(kernel), *options]
    command += ["-initrd", str(initrd)] if initrd else []
    command += ["-append", command_line] if command_line else []
    ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=DEADLINE_S, check=False)
    return ended.stdout.decode("ascii"), ended.returncode


def lines(kernel: Path, initrd: Path | None, command_line: str | None, *options: str) -> list[str]:
    """What the guest said, without its prefix; it must have come to its end."""
    serial, status = run(kernel, initrd, command_line, *options)
    assert status == 0
    said = serial.split("\r\n")
    assert said.pop() == ""
    assert said[-1] == LAST_LINE
    assert all(line.startswith(SAY) for line in said)
    return [line.removeprefix(SAY) for line in said]


@pytest.fixture
def initrd(tmp_path: Path) -> Path:
    path = tmp_path / "initrd"
    path.write_bytes(INITRD)
    return path


@pytest.mark.parametrize(
    ("image", "options"),
    [(kernel_path(), ()), (nonrelocatable_kernel_path(), ("-DNONRELOCATABLE",))],
)
def test_the_committed_bytes_are_what_the_source_assembles_to(
    image: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    output = tmp_path / "guest.bin"
    command = ["nasm", "-Wall", "-Werror", "-f", "bin", f"-I{SOURCE.parent}/", *options]
    subprocess.run([*command, "-o", output, SOURCE], check=True)
    assert output.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("relocatable", [True, False])
def test_its_setup_header_is_one_of_protocol_2_15(relocatable: bool) -> None:
    image = (kernel_path() if relocatable else nonrelocatable_kernel_path()).read_bytes()
    assert image[0x1FE:0x202] == bytes.fromhex("55aaeb6a")  # header ends at 0x202 + 0x6a
    assert image[0x202:0x208] == b"HdrS\x0f\x02"
    assert image[0x211] & 1 == 1  # LOADED_HIGH
    assert image[0x234] == relocatable
    kernel_at = (image[0x1F1] + 1) * 512
    (syssize,) = struct.unpack_from("<I", image, 0x1F4)
    assert kernel_at + syssize * 16 == len(image)
    (kernel_info,) = struct.unpack_from("<I", image, 0x268)
    assert image[kernel_at + kernel_info :].startswith(b"LToP")
    pref_address, init_size = struct.unpack_from("<QI", image, 0x258)
    assert pref_address == 0x100000
    assert init_size > syssize * 16
    (version_text,) = struct.unpack_from("<H", image, 0x20E)
    assert image[version_text + 0x200 :].startswith(b"1.0 (built-in guest)\0")


@pytest.mark.parametrize("kernel", [kernel_path(), nonrelocatable_kernel_path()])
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_it_tells_what_qemu_gave_it(kernel: Path, machine: str, initrd: Path) -> None:
    said = lines(kernel, initrd, COMMAND_LINE, "-machine", machine)
    assert "runs at       0x00100000" in said
    assert "code32_start  0x00100000" in said
    assert "entered in    real mode" in said
    assert "loader type   0xb0" in said
    assert f"command line  0x00020000: {COMMAND_LINE}" in said
    (about,) = [line for line in said if re.match("initrd +0x", line)]
    assert about.endswith(f", bytes {len(INITRD)}, CRC-32 {zlib.crc32(INITRD):#010x}")
    text = [line.removeprefix("initrd text   | ") for line in said if "initrd text" in line]
    assert text == INITRD.decode("ascii").splitlines()
    assert "e820          [0x0000000000000000, 0x000000000009fc00) RAM" in said
    assert any(line.startswith("e820          [0x0000000000100000, 0x0000000003f") for line in said)
    (count,) = [int(line.split()[2]) for line in said if line.startswith("e820 entries")]
    assert count == sum(line.startswith("e820          [") for line in said)


def test_it_says_so_when_it_gets_no_initrd_and_no_command_line() -> None:
    said = lines(kernel_path(), None, None)
    assert "initrd        none" in said
    assert "command line  0x00020000: " in said


def test_every_byte_of_a_large_initrd_counts(tmp_path: Path) -> None:
    content = random.Random(5).randbytes(5_000_001)
    path = tmp_path / "initrd"
    path.write_bytes(content)
    said = lines(kernel_path(), path, COMMAND_LINE)
    (about,) = [line for line in said if re.match("initrd +0x", line)]
    assert about.endswith(f", bytes 5000001, CRC-32 {zlib.crc32(content):#010x}")
    shown = sum(len(line.removeprefix("initrd text   | ")) for line in said if "text" in line)
    assert shown == 512 - content[:512].count(b"\n")


def test_unprintable_bytes_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"\x1b[2J\0\xff~ end")
    said = lines(kernel_path(), path, "tab\tand \x1b")
    assert "initrd text   | ?[2J??~ end" in said
    assert "command line  0x00020000: tab?and ?" in said


def test_the_longest_command_line_is_printed_whole() -> None:
    line = ("x" * 31 + " ") * 63 + "y" * 31
    assert len(line) == 2047
    assert f"command line  0x00020000: {line}" in lines(kernel_path(), None, line)


def test_a_truncated_setup_part_is_found_out(tmp_path: Path, initrd: Path) -> None:
    image = bytearray(kernel_path().read_bytes())
    image[0x1F1] -= 1  # one sector less than there is
    path = tmp_path / "kernel"
    path.write_bytes(image)
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-nodefaults"]
    command += ["-display", "none", "-vga", "none", "-serial", "stdio", "-kernel", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as machine:
        deadline = threading.Timer(DEADLINE_S, machine.kill)
        deadline.start()
        assert machine.stdout is not None
        said = machine.stdout.readline()  # it halts and must be stopped
        deadline.cancel()
        machine.kill()
    assert said == b"builtin-guest: the setup code is truncated, no signature at its end\r\n"


def test_told_to_crash_it_ends_without_its_last_line(initrd: Path) -> None:
    serial, status = run(kernel_path(), initrd, f"{COMMAND_LINE} guest=crash")
    assert status == 0  # a reset, which -no-reboot makes an end
    assert "command line" in serial
    assert LAST_LINE not in serial


def registers(monitor: IO[bytes]) -> bytes:
    """One answer to `info registers`, up to the line that has EFER."""
    answer = b""
    while b"EFER=" not in answer:
        line = monitor.readline()
        assert line, "the machine ended"
        answer += line
    return answer


@pytest.mark.parametrize(
    ("word", "last"), [("guest=silent", b""), ("guest=hang", f"{LAST_LINE}\r\n".encode())]
)
def test_told_to_hang_it_halts_for_good(word: str, last: bytes, tmp_path: Path) -> None:
    serial = tmp_path / "serial"
    serial.touch()
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-nodefaults"]
    command += ["-display", "none", "-vga", "none", "-serial", f"file:{serial}"]
    command += ["-kernel", str(kernel_path()), "-append", word, "-monitor", "stdio"]
    deadline = time.monotonic() + DEADLINE_S
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        assert machine.stdin is not None
        assert machine.stdout is not None
        state = b""
        while not (b"HLT=1" in state and b"CS =0010" in state):
            assert time.monotonic() < deadline, state
            machine.stdin.write(b"info registers\n")
            machine.stdin.flush()
            state = registers(machine.stdout)
        flags = int(re.search(rb"EFL=([0-9a-f]+)", state)[1], 16)  # type: ignore[index]
        machine.kill()
    assert flags & 0x200 == 0
    assert serial.read_bytes().endswith(last)
    assert bool(serial.read_bytes()) == bool(last)
