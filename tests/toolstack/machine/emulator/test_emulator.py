"""The whole PC: guest code that is assembled here, started from the reset vector."""

import pytest

from handoff.addresses import MIB, Gpa
from tests.toolstack.machine.emulator.assembly import option_rom
from tests.toolstack.machine.emulator.guest import ROM_ADDRESS, guest, run_rom
from toolstack.machine.emulator.stop import StopReason

PRINT = """
print:  mov dx, 0x3f8       ; CS:SI, NUL-terminated
.next:  cs lodsb
        test al, al
        jz .done
        out dx, al
        jmp .next
.done:  ret
"""
POWER_OFF = "mov dx, 0x604\n mov ax, 0x2000\n out dx, ax\n cli\n hlt\n"


def test_a_bev_prints_to_the_serial_port_and_powers_off() -> None:
    source = f'mov si, text\n call print\n {POWER_OFF} {PRINT} text: db "hello", 13, 10, 0'
    stop, machine, console = run_rom(source)
    assert (stop.reason, console) == (StopReason.POWERED_OFF, "hello\r\n")
    assert machine.log == [
        "option ROM at 0xc8000, 0x400 bytes",
        "booting from ROM c800:0080 Test ROM",
    ]


def test_bios_text_goes_to_the_log_and_not_to_the_console() -> None:
    stop, machine, console = run_rom(f"mov ax, 0x0e41\n int 0x10\n {POWER_OFF}")
    assert (stop.reason, console, machine.log[-1]) == (StopReason.POWERED_OFF, "", "A")


@pytest.mark.parametrize(
    ("code", "reason", "detail"),
    [
        ("cli\n hlt", StopReason.HALTED, "HLT with interrupts off at c800:00000082"),
        ("sti\n hlt", StopReason.UNFIT, "waits for an interrupt at c800:00000082"),
        ("mov al, 0xfe\n out 0x64, al\n cli\n hlt", StopReason.RESET, "keyboard controller"),
        ("retf", StopReason.UNFIT, "no bootable device"),
        ("int 0x18", StopReason.UNFIT, "no bootable device"),
        ("xor ah, ah\n int 0x16", StopReason.UNFIT, "waits for a key"),
        ("ud2", StopReason.CRASHED, "unhandled invalid opcode: cs:eip=c800:00000080"),
        ("xor cx, cx\n div cx", StopReason.CRASHED, "unhandled divide error"),
        ("jmp $", StopReason.BUDGET, "instructions"),
    ],
)
def test_every_end_has_its_reason_and_detail(code: str, reason: StopReason, detail: str) -> None:
    stop, _, _ = run_rom(code)
    assert stop.reason is reason
    assert detail in stop.detail


def test_a_handler_the_guest_installs_is_called_and_may_call_the_old_one() -> None:
    stop, _, console = run_rom(
        f"""
        xor ax, ax
        mov ds, ax
        mov eax, [0x12 * 4]
        mov [0x7000], eax
        mov word [0x12 * 4], handler
        mov [0x12 * 4 + 2], cs
        int 0x12
        cmp ax, 639
        jne .end
        mov si, text
        call print
.end:   {POWER_OFF}
handler: mov si, mark
        call print
        pushf
        call far [0x7000]
        iret
        {PRINT}
mark:   db "h", 0
text:   db "639", 0
        """
    )
    assert (stop.reason, console) == (StopReason.POWERED_OFF, "h639")


def test_an_exception_reaches_a_real_mode_handler() -> None:
    stop, _, console = run_rom(
        f"""
        xor ax, ax
        mov ds, ax
        mov word [6 * 4], handler
        mov [6 * 4 + 2], cs
        ud2
        {POWER_OFF}
handler: mov bp, sp
        add word [bp], 2            ; past the ud2
        mov si, mark
        call print
        iret
        {PRINT}
mark:   db "caught", 0
        """
    )
    assert (stop.reason, console) == (StopReason.POWERED_OFF, "caught")


def test_writes_to_rom_are_lost_at_bev_time_and_kept_in_init() -> None:
    bev = f"""
        mov byte [cs:early], 'B'    ; lost
        mov si, early
        call print
        push cs
        pop ds
        mov dword [late], 'damn'    ; lost, and reads back as it was
        mov si, late
        call print
        {POWER_OFF}
        {PRINT}
early:  db "a", 0
late:   db "safe", 0
    """
    init = """
        inc byte [cs:early]         ; 'b'; the checksum pays for it
        dec byte [cs:sum]
        retf
sum:    db 1
    """
    stop, _, console = run_rom(bev, init=init)
    assert (stop.reason, console) == (StopReason.POWERED_OFF, "bsafe")


def test_the_firmwares_own_data_area_stays_writable() -> None:
    code = """
        mov ax, 0xe800
        mov ds, ax
        mov byte [0], 0x5a
        mov al, [0]
        mov bl, al
        mov cx, 0xe000
        mov ds, cx
        mov byte [0], 0x5a
        mov bh, [0]
    """
    stop, _, _ = run_rom(code + POWER_OFF)
    assert stop.reason is StopReason.POWERED_OFF
    assert stop.registers.ebx & 0xFFFF == 0xCC5A


def test_firmware_leaves_memory_above_1_mib_alone() -> None:
    with guest() as machine:
        machine.insert(option_rom(POWER_OFF))
        with machine.start() as emulator:
            assert emulator.run().reason is StopReason.POWERED_OFF
        assert machine.read(MIB, 15 * MIB) == b"\xcc" * (15 * MIB)
        assert machine.read(0x90000, 0xFC00) == b"\xcc" * 0xFC00


def test_run_stops_before_an_address_and_goes_on_from_it() -> None:
    with guest() as machine:
        machine.insert(option_rom(f"mov bx, 0x1234\n nop\n mov bx, 0x5678\n {POWER_OFF}"))
        with machine.start() as emulator:
            stop = emulator.run(until=Gpa(ROM_ADDRESS + 0x83))
            assert stop.reason is StopReason.BREAKPOINT
            assert (stop.registers.ebx, stop.registers.eip) == (0x1234, 0x83)
            stop = emulator.run(until=Gpa(ROM_ADDRESS + 0x87))
            assert (stop.reason, stop.registers.ebx) == (StopReason.BREAKPOINT, 0x5678)
            assert emulator.run().reason is StopReason.POWERED_OFF


def test_a_loop_meets_its_breakpoint_each_time() -> None:
    with guest() as machine:
        machine.insert(option_rom(f"again: inc bx\n jmp again\n {POWER_OFF}"))
        with machine.start() as emulator:
            counts = [emulator.run(until=Gpa(ROM_ADDRESS + 0x80)).registers.ebx for _ in range(3)]
    assert counts == [0, 1, 2]


def test_int_15h_collects_the_map_from_guest_code() -> None:
    stop, machine, _ = run_rom(
        f"""
        xor ebx, ebx
        mov es, bx
        mov di, 0x7000
.next:  mov eax, 0xe820
        mov edx, 0x534d4150
        mov ecx, 20
        int 0x15
        jc .end
        add di, 20
        inc bp
        test ebx, ebx
        jnz .next
.end:   mov eax, ebp
        {POWER_OFF}
        """
    )
    assert stop.reason is StopReason.POWERED_OFF
    assert stop.registers.ebp == len(machine.e820.entries)


def test_a_breakpoint_passed_without_it_stops_again_later() -> None:
    with guest() as machine:
        machine.insert(option_rom(f"again: inc bx\n jmp again\n {POWER_OFF}"))
        start = Gpa(ROM_ADDRESS + 0x80)
        with machine.start() as emulator:
            assert emulator.run(until=start).registers.ebx == 0
            emulator.run(max_instructions=3)
            stop = emulator.run(until=start)
    assert (stop.reason, stop.registers.eip) == (StopReason.BREAKPOINT, 0x80)
    assert stop.registers.ebx == 2
