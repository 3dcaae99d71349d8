; The kernel proper: 32-bit entry at its start, 64-bit entry at 0x200. It runs where it lies:
; ebp holds the load address, and V(label) is a label's offset from there.
BITS 32
%define V(label) (label - kernel_start)

STACK_TOP       equ INIT_SIZE           ; the last of the memory it claims
CRC_TABLE       equ INIT_SIZE - 0x2000  ; 256 dwords
SHOWN_MAX       equ 512                 ; bytes of the initrd that are printed

kernel_start:
        ; ESI = boot_params; its scratch field serves as the stack that finds our own address.
        mov ebx, [esi + BP_SCRATCH]
        lea esp, [esi + BP_SCRATCH + 4]
        call .here
.here:  pop ebp
        sub ebp, V(.here)
        jmp main

        times 0x200 - ($ - kernel_start) db 0xcc
BITS 64
entry_64:                               ; RSI = boot_params: back to 32 bits, the rest is there
        lea rbp, [rel kernel_start]
        lea rsp, [rbp + STACK_TOP]
        lea rax, [rel kernel_gdt]
        push rax
        push word kernel_gdt_end - kernel_gdt - 1
        lgdt [rsp]
        lea rsp, [rbp + STACK_TOP]
        push 0x10
        lea rax, [rel .compatible]
        push rax
        o64 retf
BITS 32
.compatible:
        mov eax, cr0
        and eax, 0x7fffffff             ; PG
        mov cr0, eax
        mov ecx, 0xc0000080             ; EFER
        rdmsr
        and eax, ~(1 << 8)              ; LME
        wrmsr
        xor eax, eax
        mov cr4, eax
        mov ebx, 'LM64'
        jmp main

        align 8
kernel_gdt:
        dq 0
        dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
kernel_gdt_end:

kernel_info:
        db 'LToP'
        dd 16, 16                       ; size, size_total
        dd 0                            ; setup_type_max: no setup_data is read

; ebx: how we came here, esi: boot_params, ebp: load address
main:
        cld
        mov ax, 0x18                    ; 64-bit entry: the selectors are the same, by protocol
        mov ds, ax
        mov es, ax
        mov ss, ax
        lea edi, [ebp + V(kernel_end)]
        mov ecx, INIT_SIZE - V(kernel_end)
        xor eax, eax
        rep stosb
        lea esp, [ebp + STACK_TOP]

        lea edi, [ebp + V(word_silent)]
        call has_word
        je halt
        call print_how
        call print_command_line
        call print_initrd
        call print_map
%if !RELOCATABLE
        cmp ebp, PREF_ADDRESS
        mov edi, V(text_wrong_place)
        jne .failed
%endif
        lea edi, [ebp + V(word_crash)]
        call has_word
        je crash
        mov edi, V(text_done)
        call print
        lea edi, [ebp + V(word_hang)]
        call has_word
        je halt
        mov dx, 0x604                   ; PM1a control: S5 with sleep type 0, as QEMU has it
        mov ax, 0x2000
        out dx, ax
        jmp halt
.failed:
        call print
halt:
        cli
        hlt
        jmp halt

crash:                                  ; no interrupt table: the third fault resets
        push dword 0
        push dword 0
        lidt [esp]
        int3

; Z set if the command line has the word at edi (NUL-terminated). Keeps ebx, esi.
has_word:
        push esi
        mov esi, [esi + BP_CMD_LINE]
        test esi, esi
        jz .no
        mov ecx, CMDLINE_SIZE
.start:
        xor edx, edx
.compare:
        mov al, [edi + edx]
        test al, al
        jz .found
        cmp al, [esi + edx]
        jne .next
        inc edx
        jmp .compare
.next:
        cmp byte [esi], 0
        je .no
        inc esi
        loop .start
.no:
        or esp, esp                     ; never zero: Z clear
.found:
        pop esi
        ret

print_how:
        mov edi, V(text_hello)
        call print
        mov eax, ebp
        call print_hex
        mov edi, V(text_code32)
        call print
        mov eax, [esi + BP_CODE32]
        call print_hex
        mov edi, V(text_setup)
        cmp ebx, VIA_SETUP
        je .via
        mov edi, V(text_entry_64)
        cmp ebx, 'LM64'
        je .via
        mov edi, V(text_entry_32)
.via:
        call print
        mov edi, V(text_params)
        call print
        mov eax, esi
        call print_hex
        mov edi, V(text_loader)
        call print
        movzx eax, byte [esi + BP_LOADER]
        mov ecx, 2
        call print_digits
        jmp print_newline

print_command_line:
        mov edi, V(text_cmdline)
        call print
        push esi
        mov esi, [esi + BP_CMD_LINE]
        mov eax, esi
        call print_hex
        test esi, esi
        jz .out
        mov edi, V(text_colon)
        call print
        mov ecx, CMDLINE_SIZE
.next:
        lodsb
        test al, al
        jz .out
        call print_printable
        loop .next
.out:
        pop esi
        jmp print_newline

print_initrd:
        mov edi, V(text_no_initrd)
        cmp dword [esi + BP_RAMDISK_SIZE], 0
        je print
        mov edi, V(text_initrd)
        call print
        mov eax, [esi + BP_RAMDISK]
        call print_hex
        mov edi, V(text_size)
        call print
        mov eax, [esi + BP_RAMDISK_SIZE]
        call print_decimal
        mov edi, V(text_crc)
        call print
        push esi
        mov ecx, [esi + BP_RAMDISK_SIZE]
        mov esi, [esi + BP_RAMDISK]
        push esi
        push ecx
        call crc32
        call print_hex
        pop ecx
        pop esi
        mov edi, V(text_content)
        call print
        cmp ecx, SHOWN_MAX
        jbe .next
        mov ecx, SHOWN_MAX
.next:
        lodsb
        cmp al, 10
        jne .character
        cmp ecx, 1                      ; the last line feed ends a line, it does not begin one
        je .end
        mov edi, V(text_content)
        call print
        jmp .skip
.character:
        call print_printable
.skip:
        loop .next
.end:
        pop esi
        jmp print_newline

print_map:
        movzx ebx, byte [esi + BP_E820_COUNT]
        mov edi, V(text_map)
        call print
        mov eax, ebx
        call print_decimal
        call print_newline
        push esi
        add esi, BP_E820
.next:
        test ebx, ebx
        jz .out
        mov edi, V(text_entry)
        call print
        mov edx, [esi + 4]
        mov eax, [esi]
        call print_hex_64
        mov edi, V(text_to)
        call print
        mov eax, [esi]
        mov edx, [esi + 4]
        add eax, [esi + 8]
        adc edx, [esi + 12]
        call print_hex_64
        mov edi, V(text_space)
        call print
        mov eax, [esi + 16]
        mov edi, V(text_ram)
        cmp eax, 1
        je .named
        mov edi, V(text_reserved)
        cmp eax, 2
        je .named
        mov edi, V(text_type)
        call print
        call print_decimal
        jmp .line
.named:
        call print
.line:
        call print_newline
        add esi, E820_RECORD
        dec ebx
        jmp .next
.out:
        pop esi
        ret

%define SAY 'builtin-guest: '
%define LINE 13, 10, SAY
%if RELOCATABLE
text_hello:     db SAY, 'hello, a relocatable kernel', LINE, 'runs at       ', 0
%else
text_hello:     db SAY, 'hello, a kernel for 0x00100000 only', LINE, 'runs at       ', 0
%endif
text_code32:    db LINE, 'code32_start  ', 0
text_setup:     db LINE, 'entered in    real mode', 0
text_entry_32:  db LINE, 'entered in    32-bit mode', 0
text_entry_64:  db LINE, 'entered in    64-bit mode', 0
text_params:    db LINE, 'boot_params   ', 0
text_loader:    db LINE, 'loader type   0x', 0
text_cmdline:   db SAY, 'command line  ', 0
text_colon:     db ': ', 0
text_no_initrd: db SAY, 'initrd        none', 13, 10, 0
text_initrd:    db SAY, 'initrd        ', 0
text_size:      db ', bytes ', 0
text_crc:       db ', CRC-32 ', 0
text_content:   db LINE, 'initrd text   | ', 0
text_map:       db SAY, 'e820 entries  ', 0
text_entry:     db SAY, 'e820          [', 0
text_to:        db ', ', 0
text_space:     db ') ', 0
text_ram:       db 'RAM', 0
text_reserved:  db 'reserved', 0
text_type:      db 'type ', 0
text_done:      db SAY, 'done', 13, 10, 0
%if !RELOCATABLE
text_wrong_place: db SAY, 'WRONG ADDRESS, this kernel must run at 0x00100000', 13, 10, 0
%endif
; Words of the command line that make a guest which does not end well, to try a toolstack on.
word_silent:    db 'guest=silent', 0    ; says nothing and never ends
word_hang:      db 'guest=hang', 0      ; says all and never powers off
word_crash:     db 'guest=crash', 0     ; resets the machine before "done"
