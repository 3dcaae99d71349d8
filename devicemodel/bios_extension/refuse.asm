; ---- refusal: one line on the screen and on COM1, then nothing -----------------------------
; Going back to the BIOS would boot the next device: a guest with a kernel of its own must not
; come up from its disk because that kernel was damaged.
BITS 16
refuse:                                 ; si: reason
        push si
        mov si, message_start
        call print
        mov eax, [cs:block_gpa]
        mov cx, 8
.digit:
        rol eax, 4
        push eax
        and al, 15
        add al, '0'
        cmp al, '9'
        jbe .decimal
        add al, 'a' - '0' - 10
.decimal:
        call putc
        pop eax
        loop .digit
        mov si, message_colon
        call print
        pop si
        call print
        mov si, message_end
        call print
.halt:
        cli
        hlt
        jmp .halt

print:                                  ; NUL-terminated at cs:si
        cs lodsb
        test al, al
        jz .done
        call putc
        jmp print
.done:
        ret

putc:                                   ; al
        pushad
        mov cx, 0xffff                  ; bounded: a dead UART must not hide the screen's message
        push ax
        mov dx, COM1 + 5
.wait:
        in al, dx
        test al, 0x20                   ; transmitter holding register empty
        loopz .wait
        pop ax
        mov dx, COM1
        out dx, al
        mov ah, 0x0e
        mov bx, 7
        int 0x10
        popad
        ret

message_start:    db 'direct boot: parameter block at 0x', 0
message_colon:    db ': ', 0
message_end:      db '. Halted.', 13, 10, 0
reason_magic:     db 'none found there', 0
reason_version:   db 'its version is not known to this ROM', 0
reason_length:    db 'its length is wrong', 0
reason_crc:       db 'damaged, CRC-32 differs', 0
reason_field:     db 'a field holds an unknown value', 0
reason_a20:       db 'not read, the A20 line stays off', 0
reason_e820_none: db 'asks for the E820 map, but firmware gives none', 0
reason_e820_long: db 'has too little room for the E820 map of this firmware', 0
reason_long_mode: db 'asks for a 64-bit entry, but this CPU has no long mode', 0
