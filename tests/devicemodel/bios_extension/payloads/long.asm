; Entered in 64-bit mode: leaves what it found at RESULT, then ends the machine.
BITS 64
ORG ENTRY
entry:
        mov [abs RESULT + 0x00], rax
        mov [abs RESULT + 0x08], rbx
        mov [abs RESULT + 0x10], rcx
        mov [abs RESULT + 0x18], rdx
        mov [abs RESULT + 0x20], rsi
        mov [abs RESULT + 0x28], rdi
        mov [abs RESULT + 0x30], rbp
        mov [abs RESULT + 0x38], rsp
        pushfq
        pop rax
        mov [abs RESULT + 0x60], rax
        xor eax, eax
        mov ax, cs
        mov [abs RESULT + 0x40], rax
        mov ax, ds
        mov [abs RESULT + 0x48], rax
        mov ax, es
        mov [abs RESULT + 0x50], rax
        mov ax, ss
        mov [abs RESULT + 0x58], rax
        mov rax, cr0
        mov [abs RESULT + 0x68], rax
        mov rax, cr3
        mov [abs RESULT + 0x70], rax
        mov rax, cr4
        mov [abs RESULT + 0x78], rax
        mov ecx, 0xc0000080             ; EFER
        rdmsr
        mov [abs RESULT + 0x80], rax
        lea rax, [rel entry]
        mov [abs RESULT + 0x88], rax
        mov al, 0x2a                    ; QEMU's isa-debug-exit: status 0x2a * 2 + 1
        out 0xf4, al
        hlt
