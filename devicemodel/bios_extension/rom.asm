; The BIOS extension: an option ROM that turns a parameter block into a running kernel.
;
; The source is this file and those it includes; in this folder:
;
;     nasm -f bin -o rom.bin rom.asm
;
; rom.bin is committed beside this file. It is the ROM for a block at the known location, as an
; emulated PCI device takes it. For another place rom.py changes two fields: block_gpa (offset 8)
; and the checksum byte (offset 7).
;
; Laws this code keeps, and where they come from:
;  * It runs at any segment and never writes to itself. Firmware places option ROMs where it
;    likes, on 2 KiB boundaries, and makes them read-only before int 19h. So every descriptor
;    with a base is built at run time and everything that changes lies in SCRATCH.
;  * It believes nothing that is not covered by the block's CRC. The block has lain in guest RAM
;    while firmware ran; if anything wrote there, no kernel is started.
;  * The block is copied to SCRATCH before anything else, since a step may overwrite its place.
;  * All firmware services are called before the first step, while nothing of what firmware
;    keeps in RAM can have been overwritten.
;  * No int 15h AH=87h: it copies at most 64 KiB but reports success for more, writes to the
;    caller's descriptor table, and leaves segment limits it does not tell about.

%define ROM_BLOCKS 5                    ; of 512 bytes
%define DEFAULT_BLOCK 0x001f0000
%define CHECKSUM 0x47                   ; all bytes add up to 0; a test tells it anew

%include "layout.asm"
%include "modes.asm"

%define BYTES_OF(label) (((label - $$) & 255) + ((label - $$) >> 8))

BITS 16
ORG 0

; ---- option ROM header -------------------------------------------------------------------
        db 0x55, 0xaa
        db ROM_BLOCKS
init:                                   ; offset 3: called once, when the ROM is found
        mov ax, 0x0020                  ; PnP BIOS: an IPL device is attached
        retf
        db CHECKSUM                     ; 7
block_gpa:
        dd DEFAULT_BLOCK                ; 8: where the parameter block is
        db 'direct boot', 0             ; 0x0c: a name for hex dumps
        dw pcir                         ; 0x18
        dw pnp                          ; 0x1a
        times 0x20 - ($ - $$) db 0
pnp:
        db '$PnP'
        db 1                            ; revision
        db 2                            ; length / 16
        dw 0                            ; no further header
        db 0
        db -(PNP_SUM + BYTES_OF(vendor) + BYTES_OF(product) + BYTES_OF(bev)) & 255
        dd 0                            ; device id
        dw vendor
        dw product
        db 0, 0, 0                      ; device type: none of the listed
        db PNP_INDICATORS
        dw 0                            ; no BCV: this is not a disk
        dw 0                            ; no disconnect vector
        dw bev
        dw 0
        dw 0                            ; no static resources
PNP_INDICATORS  equ 0x64                ; IPL device, may be cached and shadowed
PNP_SUM         equ '$' + 'P' + 'n' + 'P' + 1 + 2 + PNP_INDICATORS

; ---- PCI data structure: without it, firmware takes no ROM from a PCI device -----------------
        align 4, db 0
pcir:
        db 'PCIR'
        dw 0x5853, 0x0001               ; vendor, device: the Xen platform device
        dw 0                            ; no vital product data
        dw pcir_end - pcir
        db 0                            ; revision
        db 0x00, 0x80, 0xff             ; class: the device's
        dw ROM_BLOCKS
        dw 0                            ; revision of the code
        db 0                            ; code for a PC
        db 0x80                         ; the last image
        dw 0
pcir_end:

vendor:         db 'stubdom-direct-boot', 0
product:        db 'Direct kernel boot', 0

; ---- the bootstrap entry vector: called by the BIOS instead of int 19h ----------------------
bev:
        cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov [ROM_SEGMENT], cs
        xor eax, eax
        mov ax, cs
        shl eax, 4
        mov [ROM_BASE], eax
        mov eax, cr0
        mov [CR0_FIRMWARE], eax
        o32 sidt [IDTR_FIRMWARE]
        xor eax, eax
        mov [IDTR_NONE], eax
        mov [IDTR_NONE + 4], ax

        mov si, gdt_start               ; the ROM's own copy is read-only, and ltr writes
        mov di, GDT
        mov cx, GDT_BYTES / 2
        cs rep movsw
        mov eax, [ROM_BASE]
        or [GDT + SEL_ROM_CODE32 + 2], eax      ; base bits 23:0; an option ROM is below 1 MiB
        or [GDT + SEL_ROM_CODE16 + 2], eax
        mov word [GDTR], GDT_BYTES - 1
        mov dword [GDTR + 2], GDT

        call enable_a20
        mov esi, reason_a20
        jz refuse

        ENTER_PROTECTED
        mov esi, [cs:block_gpa]
        mov edi, BLOCK
        mov ecx, BLOCK_BYTES / 4
        rep movsd
        call check_block                ; esi: reason, or 0
        ENTER_REAL
        test si, si
        jnz refuse

        ; ---- what only firmware knows, while it is whole
        cmp word [B_ENTRY_KIND], ENTRY_LONG
        jne .any_cpu
        call has_long_mode
        mov esi, reason_long_mode
        jz refuse
.any_cpu:
        int 0x12
        movzx eax, ax
        mov [LOWER_KIB], eax
        mov dword [E820_COUNT], 0
        cmp word [B_E820_FORMAT], 0
        je .collected
        call collect_e820               ; si: reason, or 0
        test si, si
        jnz refuse
.collected:

        ENTER_PROTECTED
        call find_rsdp
        call do_steps
        call store_e820
        call store_rsdp
        cmp word [B_ENTRY_KIND], ENTRY_PROTECTED
        je enter_protected_kernel
        cmp word [B_ENTRY_KIND], ENTRY_LONG
        je enter_long_kernel
        jmp enter_real_kernel

%include "firmware.asm"
%include "refuse.asm"
%include "steps.asm"
%include "memory_map.asm"
%include "entries.asm"

        DESCRIPTORS

        times ROM_BLOCKS * 512 - ($ - $$) db 0
