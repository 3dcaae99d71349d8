; An option ROM that keeps what is printed through int 10h AH=0Eh: characters from 0x600, their
; number at 0x5fc, in low memory that firmware leaves alone.
BITS 16
ORG 0
        db 0x55, 0xaa, 1
        push ds
        push word 0
        pop ds
        mov word [0x5fc], 0
        mov word [0x10 * 4], hook
        mov [0x10 * 4 + 2], cs
        pop ds
        retf
hook:
        cmp ah, 0x0e
        jne .out
        push ds
        push bx
        push word 0
        pop ds
        mov bx, [0x5fc]
        mov [bx + 0x600], al
        inc word [0x5fc]
        pop bx
        pop ds
.out:
        iret
        times 512 - ($ - $$) db 0
