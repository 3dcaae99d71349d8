"""Guest code in protected and long mode, from the reset vector through an option ROM."""

from handoff.addresses import FOUR_GIB, MIB, Gpa
from tests.toolstack.machine.emulator.assembly import option_rom
from tests.toolstack.machine.emulator.guest import BUDGET, ROM_ADDRESS, guest, run_rom
from toolstack.machine.emulator.stop import StopReason

POWER_OFF = "mov edx, 0x604\n mov ax, 0x2000\n out dx, ax\n cli\n hlt\n"
PROTECTED = """
        cli
        xor ax, ax
        mov ds, ax
        mov dword [0x7100], 0
        mov dword [0x7104], 0
        mov dword [0x7108], 0x0000ffff
        mov dword [0x710c], 0x00cf9b00
        mov dword [0x7110], 0x0000ffff
        mov dword [0x7114], 0x00cf9300
        mov dword [0x7118], 0x0000ffff
        mov dword [0x711c], 0x00af9b00
        mov word [0x7200], 0x1f
        mov dword [0x7202], 0x7100
        lgdt [0x7200]
        mov word [0x7208], 0x7ff
        mov dword [0x720a], 0x8000
        lidt [0x7208]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 0x9000
        jmp dword 0x08:0xc8000 + flat
        bits 32
flat:
"""
"""Flat 32-bit mode in a ROM at 0xc8000; IDT at 0x8000, selector 0x18 is 64-bit code."""


def test_a_wait_names_the_device_memory_touched_last() -> None:
    code = PROTECTED + "mov eax, [0xfee00020]\n mov ebx, eax\n sti\n hlt"
    stop, _, _ = run_rom(code)
    assert stop.reason is StopReason.UNFIT
    assert "device memory at 0xfee00020" in stop.detail
    assert stop.registers.ebx == 0xFFFFFFFF


def test_protected_mode_goes_on_after_a_stop_above_64_kib() -> None:
    code = PROTECTED + "stop: mov ecx, 7\n" + POWER_OFF
    with guest() as machine:
        rom = option_rom(code)
        machine.insert(rom)
        flat = rom.index(bytes.fromhex("b907000000"))
        with machine.start() as emulator:
            stop = emulator.run(until=Gpa(ROM_ADDRESS + flat))
            assert (stop.registers.eip, stop.registers.cr0 & 1) == (ROM_ADDRESS + flat, 1)
            stop = emulator.run()
            assert (stop.reason, stop.registers.ecx) == (StopReason.POWERED_OFF, 7)


HANDLER = """
        mov dword [0x8000 + 8 * {vector}], 0x080000 + 0x8000 + handler
        mov dword [0x8004 + 8 * {vector}], 0x000c8e00
"""


def test_page_faults_in_a_row_reach_the_guests_handler_with_their_error_code() -> None:
    """Unicorn by itself makes the second a double fault and stops at the third."""
    faults = 3
    code = (
        PROTECTED
        + HANDLER.format(vector=14)
        + f"""
        mov edi, 0xa000             ; page directory: 4 MiB identity page
        xor eax, eax
        mov ecx, 1024
        rep stosd
        mov dword [0xa000], 0x83
        mov eax, 0x10
        mov cr4, eax
        mov eax, 0xa000
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        mov esi, 0x400000
        mov ecx, {faults}
again:  mov [esi], ecx              ; faults once, then writes
        add esi, 0x400000
        loop again
        {POWER_OFF}
handler:
        pop ebx                     ; error code
        add ebp, ebx
        mov eax, cr2
        shr eax, 22
        mov edx, eax
        shl edx, 22
        or edx, 0x83
        mov [0xa000 + eax * 4], edx
        iretd
        """
    )
    stop, _, _ = run_rom(code)
    assert stop.reason is StopReason.POWERED_OFF, stop.detail
    assert stop.registers.ebp == 2 * faults


def test_a_fault_without_an_idt_is_a_triple_fault_with_registers() -> None:
    stop, _, _ = run_rom(PROTECTED + "lidt [zero + 0xc8000]\n ud2\n zero: dw 0, 0, 0")
    assert stop.reason is StopReason.CRASHED
    assert "triple fault: invalid opcode, and the IDT ends at offset 0x0" in stop.detail
    assert "cs:eip=0008:000c8" in stop.detail


def test_going_where_no_memory_is_is_a_crash_with_the_address() -> None:
    with guest() as machine:
        machine.insert(option_rom(PROTECTED + "mov eax, 0x7fff0000\n jmp eax"))
        with machine.start() as emulator:
            stop = emulator.run(max_instructions=BUDGET)
    assert stop.reason is StopReason.CRASHED
    assert "7fff0000" in stop.detail


def test_long_mode_and_ram_above_4_gib_work() -> None:
    code = (
        PROTECTED
        + f"""
        mov edi, 0xa000             ; PML4 at 0xa000, PDPT 0xb000, PD of the fifth GiB 0xc000
        xor eax, eax
        mov ecx, 3 * 1024 + 1024
        rep stosd
        mov dword [0xa000], 0xb003
        mov dword [0xb000], 0xd003
        mov dword [0xd000], 0x83
        mov dword [0xb000 + 8 * 4], 0xc003
        mov dword [0xc000], 0x83
        mov dword [0xc004], 1       ; 4 GiB
        mov eax, 0x20
        mov cr4, eax
        mov eax, 0xa000
        mov cr3, eax
        mov ecx, 0xc0000080
        rdmsr
        bts eax, 8
        wrmsr
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp 0x18:0xc8000 + wide
        bits 64
wide:   mov rax, 0x100000000
        mov rbx, 0x1122334455667788
        mov [rax], rbx
        {POWER_OFF}
        """
    )
    low_limit = Gpa(64 * MIB)
    with guest(66 * MIB, low_limit) as machine:
        machine.insert(option_rom(code))
        with machine.start() as emulator:
            stop = emulator.run(max_instructions=BUDGET)
        assert stop.reason is StopReason.POWERED_OFF, stop.detail
        assert machine.read(FOUR_GIB, 8) == bytes.fromhex("8877665544332211")
