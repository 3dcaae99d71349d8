; A kernel entered in flat 32-bit mode: leaves its registers and what its BSS holds at RESULT, then
; powers off.
;
;   BASE    where it is linked
;   BSS     end of its BSS, which begins at its last byte
;   RESULT  six dwords: EAX, EBX, ESP, CR0, EFLAGS, bytes of the BSS that are not zero
;   HEADER  1: begins with a multiboot header with address fields, 2: with one without
BITS 32
ORG BASE
%if HEADER
MAGIC   equ 0x1badb002
FLAGS   equ 3 | ((HEADER & 1) << 16)
header: dd MAGIC, FLAGS, -(MAGIC + FLAGS)
        dd header, BASE, end, BSS, entry
%endif
entry:
        mov [RESULT], eax
        mov [RESULT + 4], ebx
        mov [RESULT + 8], esp
        mov eax, cr0
        mov [RESULT + 12], eax
        pushfd
        pop dword [RESULT + 16]
        xor ebx, ebx
        mov esi, end
        mov ecx, BSS - end
.look:
        cmp byte [esi], 0
        je .zero
        inc ebx
.zero:
        inc esi
        loop .look
        mov [RESULT + 20], ebx
        mov dx, 0x604
        mov ax, 0x2000
        out dx, ax
        hlt
end:
