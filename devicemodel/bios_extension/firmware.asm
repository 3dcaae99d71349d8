; Real mode: what the ROM asks of firmware and CPU before it starts. DS = ES = 0, IF = 0.

BITS 16

; Z set if the A20 line stays off. BIOS first (it knows the machine), then port 0x92.
enable_a20:
        call test_a20
        jnz .done
        mov ax, 0x2401
        int 0x15
        xor ax, ax
        mov ds, ax
        mov es, ax
        cli
        call test_a20
        jnz .done
        in al, 0x92
        or al, 2
        and al, 0xfe                    ; bit 0 would reset the machine
        out 0x92, al
        call test_a20
.done:
        ret

; Z set if A20 is off: then 1 MiB above a word of ours is that same word. Only ours is written.
test_a20:
        mov ax, 0xffff
        mov fs, ax
        mov eax, [fs:A20_PROBE + 0x10]
        not eax
        mov [A20_PROBE], eax
        cmp eax, [fs:A20_PROBE + 0x10]
        ret

; Z set if the CPU has no 64-bit mode.
has_long_mode:
        mov eax, 0x80000000
        cpuid
        cmp eax, 0x80000001
        jb .no
        mov eax, 0x80000001
        cpuid
        test edx, 1 << 29               ; LM
        ret
.no:
        xor eax, eax
        ret

; The firmware's map to E820_RAW, its length to E820_COUNT; si: reason, or 0.
; A record with no continuation is the last; so is carry after the first record.
collect_e820:
        xor ebx, ebx
        mov di, E820_RAW
.next:
        push di
        mov eax, 0xe820
        mov edx, 'PAMS'                 ; "SMAP", high byte first
        mov ecx, RECORD_BYTES
        int 0x15
        pop di
        mov cx, 0                       ; mov leaves the carry alone
        mov ds, cx
        mov es, cx
        jc .end
        cmp eax, 'PAMS'
        jne .broken                     ; not a last record but another answer: no map at all
        mov ax, [B_E820_MAX]
        cmp [E820_COUNT], ax
        mov si, reason_e820_long
        jae .out
        inc word [E820_COUNT]
        add di, RECORD_BYTES
        test ebx, ebx
        jnz .next
        jmp .end
.broken:
        mov word [E820_COUNT], 0
.end:
        mov si, reason_e820_none
        cmp word [E820_COUNT], 0
        je .out
        xor si, si
.out:
        cli                             ; firmware may have left either the other way
        cld
        ret
