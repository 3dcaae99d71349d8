; Entered in flat 32-bit protected mode: leaves what it found at RESULT, then ends the machine.
BITS 32
ORG ENTRY
entry:
        mov [RESULT + 0x00], eax
        mov [RESULT + 0x04], ebx
        mov [RESULT + 0x08], ecx
        mov [RESULT + 0x0c], edx
        mov [RESULT + 0x10], esi
        mov [RESULT + 0x14], edi
        mov [RESULT + 0x18], ebp
        mov [RESULT + 0x1c], esp
        pushfd
        pop dword [RESULT + 0x38]
        xor eax, eax
        mov ax, cs
        mov [RESULT + 0x20], eax
        mov ax, ds
        mov [RESULT + 0x24], eax
        mov ax, es
        mov [RESULT + 0x28], eax
        mov ax, fs
        mov [RESULT + 0x2c], eax
        mov ax, gs
        mov [RESULT + 0x30], eax
        mov ax, ss
        mov [RESULT + 0x34], eax
        mov eax, cr0
        mov [RESULT + 0x3c], eax
        mov eax, cr4
        mov [RESULT + 0x40], eax
        xor eax, eax
        str ax
        mov [RESULT + 0x44], eax
        sgdt [RESULT + 0x48]
        call .here
.here:  pop eax
        sub eax, .here - entry
        mov [RESULT + 0x50], eax
        mov al, 0x2a                    ; QEMU's isa-debug-exit: status 0x2a * 2 + 1
        out 0xf4, al
        hlt
