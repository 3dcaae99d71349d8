"""What a confined program must still be able to do, it can."""

from __future__ import annotations

import pytest

from tests.handoff.confinement.trials import run_python

CONFINED_TRIO = """
import errno, fcntl, io, lzma, bz2, mmap, os, socket, sys, traceback, zlib
from handoff.confinement.libc import invoke
import blake3, lz4.frame, msgpack, trio, zstandard
from handoff.confinement import *

RAM = 4 << 20
ram_fd = os.memfd_create("ram", os.MFD_ALLOW_SEALING)
os.ftruncate(ram_fd, RAM)
fcntl.fcntl(ram_fd, fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
ours, theirs = socket.socketpair()
bell = os.eventfd(0, os.EFD_NONBLOCK)
packed = {{m: m.compress(b"image" * 100000) for m in (zlib, lzma, bz2, lz4.frame)}}
packed_zstd = zstandard.compress(b"image" * 100000)
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2, ram_fd, ours.fileno(), theirs.fileno(), bell))

async def main():
    report = confine(prepared, Profile.DEVICE_MODEL)
    with trio.fail_after(20):
{body}
    print("done")

trio.run(main)
ours.close()
theirs.close()
print("and out of the loop")
"""


def run_confined(body: str) -> list[str]:
    indented = "\n".join("        " + line for line in body.strip().splitlines())
    done = run_python(["-c", CONFINED_TRIO.format(body=indented)])
    assert done.stderr == ""
    assert done.returncode == 0
    *lines, done_line, out_line = done.stdout.splitlines()
    assert (done_line, out_line) == ("done", "and out of the loop")
    return lines


def test_streams_nurseries_and_timers_run() -> None:
    body = """
a, b = (trio.SocketStream(trio.socket.from_stdlib_socket(s)) for s in (ours, theirs))
async def echo():
    async for data in b:
        await b.send_all(data)
async with trio.open_nursery() as nursery:
    nursery.start_soon(echo)
    await a.send_all(b"over there and back")
    print((await a.receive_some(100)).decode())
    with trio.move_on_after(0.01) as scope:
        await trio.sleep_forever()
    print(scope.cancelled_caught)
    nursery.start_soon(trio.sleep, 0.01)
    await a.aclose()
os.eventfd_write(bell, 3)
await trio.lowlevel.wait_readable(bell)
print(os.eventfd_read(bell))
"""
    assert run_confined(body) == ["over there and back", "True", "3"]


def test_guest_ram_is_mapped_read_written_and_given_back() -> None:
    body = """
with mmap.mmap(ram_fd, RAM) as ram:
    ram[0x1000:0x1005] = b"bytes"
    print(os.pread(ram_fd, 5, 0x1000))
    os.pwrite(ram_fd, b"BYTES", 0x1000)
    print(bytes(ram[0x1000:0x1005]))
    before = os.fstat(ram_fd).st_blocks
    invoke("fallocate", ram_fd, 3, 0x1000, 0x1000)
    print(os.fstat(ram_fd).st_blocks < before, bytes(ram[0x1000:0x1005]))
"""
    assert run_confined(body) == ["b'bytes'", "b'BYTES'", r"True b'\x00\x00\x00\x00\x00'"]


def test_images_are_decompressed_digested_and_unpacked() -> None:
    body = """
for module, data in packed.items():
    print(module.decompress(data) == b"image" * 100000)
print(zstandard.decompress(packed_zstd) == b"image" * 100000)
big = bytes(64 << 20)
print(blake3.blake3(big, max_threads=1).hexdigest()[:8], blake3.blake3(big).hexdigest()[:8])
print(msgpack.unpackb(msgpack.packb({"gpa": 0x200000, "role": "kernel"})))
print(len(os.urandom(16)), len(bytearray(256 << 20)))
"""
    lines = run_confined(body)
    assert lines[:5] == ["True"] * 5
    one_thread, by_default = lines[5].split()
    assert one_thread == by_default
    assert lines[6:] == ["{'gpa': 2097152, 'role': 'kernel'}", "16 268435456"]


def test_an_error_still_becomes_a_readable_text() -> None:
    body = """
try:
    try:
        open("/boot/vmlinuz")
    except OSError as cause:
        raise ExceptionGroup("stages", [ValueError("initrd \\u2192 0x1000"), cause]) from cause
except ExceptionGroup as group:
    text = "".join(traceback.format_exception(group))
print("PermissionError: [Errno 1] Operation not permitted: '/boot/vmlinuz'" in text)
print("ValueError: initrd \\u2192 0x1000" in text)
"""
    assert run_confined(body) == ["True", "True"]


UNICORN = """
import ctypes, mmap, os
import trio
from unicorn import *
from unicorn.x86_const import *
from handoff.confinement import *

RAM = 16 << 20
fd = os.memfd_create("ram")
os.ftruncate(fd, RAM)
ram = mmap.mmap(fd, RAM)
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2, fd))
engine = Uc(UC_ARCH_X86, UC_MODE_32)
engine.mem_map_ptr(0, RAM, UC_PROT_ALL, ctypes.addressof(ctypes.c_char.from_buffer(ram)))
ports = []
engine.hook_add(UC_HOOK_INSN, lambda uc, port, size, value, data: ports.append((port, value)),
                None, 1, 0, UC_X86_INS_OUT)
ram[0:1] = b"\\x90"
engine.emu_start(0, 1)

async def main():
    report = confine(prepared, Profile.EMULATOR, address_space_bytes=4 << 30)
    code = (b"\\x41" * 500 + b"\\x43" * 50) * 10_000 + b"\\xb0\\x2a\\xe6\\xe9\\xf4"
    ram[0x10000:0x10000 + len(code)] = code
    engine.reg_write(UC_X86_REG_ECX, 0)
    {start}
    print(engine.reg_read(UC_X86_REG_ECX), ports)
    engine.mem_map(0x1000_0000, 1 << 20)
    ram[0x2000:0x2002] = b"\\xeb\\xfe"
    engine.emu_start(0x2000, 0x3000, count=1000)
    engine.emu_start(0x2000, 0x3000, timeout=10_000)

trio.run(main)
"""


@pytest.mark.parametrize(
    "start",
    [
        "engine.emu_start(0x10000, 0)",
        "await trio.to_thread.run_sync(engine.emu_start, 0x10000, 0)",
    ],
    ids=["in the loop", "in a worker thread"],
)
def test_guest_code_runs_in_an_engine_made_before(start: str) -> None:
    done = run_python(["-W", "default", "-c", UNICORN.format(start=start)])
    assert done.stderr == ""
    assert done.stdout == "5000000 [(233, 42)]\n"
