; Entered in real mode: leaves the registers it found, and the E820 map and int 12h as a kernel's
; setup code sees them, at offset 0x200 and up of its own data segment; then ends the machine.
BITS 16
ORG ENTRY_IP
entry:
        mov [0x200], eax                ; addressed by DS as found
        mov [0x204], ebx
        mov [0x208], ecx
        mov [0x20c], edx
        mov [0x210], esi
        mov [0x214], edi
        mov [0x218], ebp
        mov [0x21c], esp
        mov [0x220], cs
        mov [0x224], ds
        mov [0x228], es
        mov [0x22c], fs
        mov [0x230], gs
        mov [0x234], ss
        pushfd
        pop dword [0x238]
        mov eax, cr0
        mov [0x23c], eax
        sidt [0x240]
        call .here                      ; where IP really is
.here:  pop ax
        sub ax, .here - entry
        mov [0x248], ax
        int 0x12
        mov [0x24c], ax
        xor ebx, ebx
        xor bp, bp
        mov di, 0x300
.next:
        mov eax, 0xe820
        mov edx, 0x534d4150
        mov ecx, 20
        int 0x15
        jc .end
        inc bp
        add di, 20
        test ebx, ebx
        jnz .next
.end:
        mov [0x250], bp
        mov al, 0x2a                    ; QEMU's isa-debug-exit: status 0x2a * 2 + 1
        out 0xf4, al
        hlt
