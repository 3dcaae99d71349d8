; Output on COM1, and the numbers that go there. The line's speed is left as firmware set it.
; Every routine keeps all registers but those that carry its argument.
BITS 32
COM1            equ 0x3f8

put:                                    ; al; gives up waiting when no UART answers
        push ecx
        push edx
        push eax
        mov ecx, 0x100000
        mov edx, COM1 + 5
.wait:
        in al, dx
        test al, 0x20                   ; transmitter holding register empty
        loopz .wait
        pop eax
        mov edx, COM1
        out dx, al
        pop edx
        pop ecx
        ret

print:                                  ; edi: V(text), NUL-terminated
        push eax
.next:
        mov al, [ebp + edi]
        test al, al
        jz .out
        call put
        inc edi
        jmp .next
.out:
        pop eax
        ret

print_newline:
        mov al, 13
        call put
        mov al, 10
        jmp put

print_printable:                        ; al, or '?' where it is not printable ASCII
        cmp al, ' '
        jb .not
        cmp al, '~'
        jbe put
.not:
        mov al, '?'
        jmp put

print_hex:                              ; eax as 0x and 8 digits
        push edi
        mov edi, V(text_0x)
        call print
        pop edi
        push ecx
        mov ecx, 8
        call print_digits
        pop ecx
        ret

print_hex_64:                           ; edx:eax as 0x and 16 digits
        push eax
        mov eax, edx
        call print_hex
        pop eax
        push ecx
        mov ecx, 8
        call print_digits
        pop ecx
        ret

print_digits:                           ; the low ecx hex digits of eax
        push eax
        push ecx
        push edx
        mov edx, eax
.rest:
        dec ecx
        mov eax, edx
        shl ecx, 2
        shr eax, cl
        shr ecx, 2
        and al, 15
        add al, '0'
        cmp al, '9'
        jbe .decimal
        add al, 'a' - '0' - 10
.decimal:
        call put
        test ecx, ecx
        jnz .rest
        pop edx
        pop ecx
        pop eax
        ret

print_decimal:                          ; eax
        push eax
        push ecx
        push edx
        mov ecx, 10
        xor edx, edx
        div ecx
        test eax, eax
        jz .last
        call print_decimal
.last:
        lea eax, [edx + '0']
        call put
        pop edx
        pop ecx
        pop eax
        ret

; eax: CRC-32 (IEEE, reflected) of ecx bytes at esi. Clobbers ecx, edx, esi.
crc32:
        push ebx
        push edi
        lea edi, [ebp + CRC_TABLE]
        xor edx, edx
.entry:
        mov eax, edx
        mov bl, 8
.bit:
        shr eax, 1
        jnc .even
        xor eax, 0xedb88320
.even:
        dec bl
        jnz .bit
        mov [edi + 4 * edx], eax
        inc dl
        jnz .entry
        or eax, -1
        jecxz .done
.byte:
        movzx edx, al
        xor dl, [esi]
        shr eax, 8
        xor eax, [edi + 4 * edx]
        inc esi
        dec ecx
        jnz .byte
.done:
        not eax
        pop edi
        pop ebx
        ret

text_0x:        db '0x', 0

        times -($ - kernel_start) & 15 db 0     ; syssize counts paragraphs
