; An option ROM that makes the BIOS one without E820: hooks int 15h, keeps the old vector in the
; user vector 0x60.
BITS 16
ORG 0
        db 0x55, 0xaa, 1
        push ds
        push word 0
        pop ds
        mov eax, [0x15 * 4]
        mov [0x60 * 4], eax
        mov word [0x15 * 4], hook
        mov [0x15 * 4 + 2], cs
        pop ds
        retf
hook:
        cmp ax, 0xe820
        je .refuse
        push ds
        push word 0
        pop ds
        push dword [0x60 * 4]
        pop dword [0x61 * 4]
        pop ds
        int 0x60
        retf 2                          ; with the flags of the real handler
.refuse:
        mov ah, 0x86
        stc
        retf 2
        times 512 - ($ - $$) db 0
