"""Bases of segments that no selector gives away, as they are in this build of Unicorn."""

from __future__ import annotations

from tests.toolstack.machine.emulator.assembly import assemble
from toolstack.machine.emulator.open_engine import open_engine
from toolstack.machine.emulator.segment_state import Segments, probe_segments, segments

CODE = 0x8000
MODES = """
    mov ax, 0x1234
    mov es, ax
    nop                         ; real mode
    lgdt [pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov ax, 8
    mov es, ax
    nop                         ; protected mode, still in the code segment of real mode
    jmp 0x10:flat
bits 32
flat:
    nop                         ; 32-bit code
    hlt
align 8
gdt: dq 0
     dq 0x00cf92000000ffff      ; data from 0
     dq 0x00cf9a000000ffff      ; code, 32 bits
pointer: dw 23
     dd gdt
"""


def test_hidden_bases_and_the_width_of_addresses_are_found_in_each_mode() -> None:
    code = assemble(MODES, CODE)
    engine = open_engine()
    layout = probe_segments(engine)
    engine.mem_map(0, 0x10000)
    engine.mem_write(CODE, code)
    nops = [CODE + at for at, byte in enumerate(code[: code.index(0xF4)]) if byte == 0x90]
    found = []
    at = CODE
    for nop in nops:
        engine.ctl_set_exits([nop])
        engine.emu_start(at, 0)
        found.append(segments(engine, layout))
        at = nop
    assert found == [
        Segments(cs_base=0, es_base=0x12340, address_bytes=2),
        Segments(cs_base=0, es_base=0, address_bytes=2),
        Segments(cs_base=0, es_base=0, address_bytes=4),
    ]


def test_looking_for_them_leaves_no_trace() -> None:
    engine = open_engine()
    layout = probe_segments(engine)
    assert segments(engine, layout).es_base == 0
