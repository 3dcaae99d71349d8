; A kernel of any protocol version that tells on COM1 what its setup code finds, goes on into its
; protected-mode part, tells where that runs and whether it is whole, and powers off.
;
;   VERSION      0 for an image without a header, else 0x200 to 0x20f
;   HIGH         1: bzImage, 0: zImage
;   RELOCATABLE  relocatable_kernel, where the version has it
;   LOAD         where the protected-mode part expects to be: code32_start as the image has it
;   SIZE         bytes of the protected-mode part, whose last dword is the sum of the others
;
; A field newer than VERSION holds 0xa5, as real images have text or code there.

COM1    equ 0x3f8
%define BOOT_SECTORS 5

%macro FIELD 3-4                        ; offset, first version, dx, value
        times %1 - ($ - $$) db 0xa5
  %if VERSION >= %2
        %3 %4
  %endif
%endmacro

%macro TELL 2                           ; name, 16-bit source
        jmp %%told
%%name: db %1, '=', 0
%%told: mov di, %%name
        call text
        mov ax, %2
        call number
%endmacro

BITS 16
ORG 0
        times 0x1f1 - ($ - $$) db 0x90
        db BOOT_SECTORS - 1
        dw 0
        dw (SIZE + 15) / 16             ; syssize has its upper half since 2.04
%if VERSION >= 0x204
        dw 0
%endif
        times 0x1fa - ($ - $$) db 0xa5
        dw 0xffff
        dw 0
        dw 0xaa55
%if VERSION
        db 0xeb, 0x6a                   ; jmp setup
        db 'HdrS'
        dw VERSION
%else
        jmp near setup
%endif
        FIELD 0x208, 0x200, dd, 0
        FIELD 0x20c, 0x200, dd, 0x1000
        FIELD 0x210, 0x200, db, 0
        FIELD 0x211, 0x200, db, HIGH
        FIELD 0x212, 0x200, dw, 0x8000
        FIELD 0x214, 0x200, dd, LOAD
        FIELD 0x218, 0x200, dd, 0
        FIELD 0x21c, 0x200, dd, 0
        FIELD 0x220, 0x200, dd, 0
        FIELD 0x224, 0x201, dw, 0
        FIELD 0x226, 0x202, dw, 0
        FIELD 0x228, 0x202, dd, 0
        FIELD 0x22c, 0x203, dd, 0x2ffffff
        FIELD 0x230, 0x205, dd, 0x1000
        FIELD 0x234, 0x205, db, RELOCATABLE
        FIELD 0x235, 0x20a, db, 12
        FIELD 0x236, 0x20c, dw, 0
        FIELD 0x238, 0x206, dd, 255
        FIELD 0x23c, 0x207, dd, 0
        FIELD 0x240, 0x207, dq, 0
        FIELD 0x248, 0x208, dd, 0
        FIELD 0x24c, 0x208, dd, 0
        FIELD 0x250, 0x209, dq, 0
        FIELD 0x258, 0x20a, dq, 0x100000
        FIELD 0x260, 0x20a, dd, 0x40000
        FIELD 0x264, 0x20b, dd, 0
        FIELD 0x268, 0x20f, dd, 0
        times 0x26c - ($ - $$) db 0xa5

; ---- setup code; DS is its segment -------------------------------------------------------
setup:
        cld
        mov [stack], sp
        TELL 'cs', cs
        TELL 'ds', ds
        TELL 'es', es
        TELL 'fs', fs
        TELL 'gs', gs
        TELL 'ss', ss
        TELL 'sp', [stack]
%if VERSION
        TELL 'loader', [0x210]          ; with loadflags in the high byte
        TELL 'ramdisk_low', [0x218]
        TELL 'ramdisk_high', [0x21a]
        TELL 'ramdisk_bytes', [0x21c]
%endif
%if VERSION == 0x200 || VERSION == 0x201
        TELL 'setup_move_size', [0x212]
%endif
%if VERSION >= 0x201
        TELL 'heap_end_ptr', [0x224]
%endif
%if VERSION >= 0x202
        mov eax, [0x228]                ; a linear address below 1 MiB
        mov si, ax
        and si, 15
        shr eax, 4
        mov es, ax
%else
        push ds
        pop es
        cmp word [0x20], 0xa33f
        jne no_line
        mov si, [0x22]
%endif
        mov di, name_line
        call text
line:
        es lodsb
        test al, al
        jz line_done
        call put
        jmp line
no_line:
        mov di, name_no_line
        call text
line_done:
        call newline
%if VERSION == 0
        mov si, BOOT_SECTORS * 512
        mov cx, 0x8000 - BOOT_SECTORS * 512
zeros:
        lodsb
        test al, al
        loopz zeros
        mov di, name_cleared
        jz .told
        mov di, name_dirty
.told:
        call text
        call newline
%endif
        xor ebx, ebx                    ; the linear base of this segment
        mov bx, ds
        shl ebx, 4
        lea eax, [ebx + gdt]
        mov [gdtr + 2], eax
        mov dword [far_pointer], LOAD
%if VERSION
        mov eax, [0x214]
        mov [far_pointer], eax
%endif
        mov esi, ebx
        cli
        lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword far [far_pointer]

number:                                 ; ax
        mov cx, 4
.digit:
        rol ax, 4
        push ax
        and al, 15
        cmp al, 10
        sbb al, 0x69
        das                             ; a hexadecimal digit
        call put
        pop ax
        loop .digit
newline:
        mov al, 13
        call put
        mov al, 10
put:
        push ax
        mov dx, COM1 + 5
.wait:
        in al, dx
        test al, 0x20
        jz .wait
        pop ax
        mov dx, COM1
        out dx, al
        ret
text:                                   ; ds:di, NUL-terminated
        mov al, [di]
        inc di
        test al, al
        jz .done
        call put
        jmp text
.done:
        ret

name_line:      db 'line=', 0
name_no_line:   db 'no line', 0
name_cleared:   db 'behind setup code: zeros', 0
name_dirty:     db 'behind setup code: something', 0
stack:          dw 0
far_pointer:    dd 0
                dw 0x10
gdtr:           dw 0x1f
                dd 0
gdt:            dq 0, 0
                dq 0x00cf9b000000ffff
                dq 0x00cf93000000ffff
        times BOOT_SECTORS * 512 - ($ - $$) db 0

; ---- protected-mode part; ESI is the linear base of the setup code -------------------------
BITS 32
protected:
        mov ax, 0x18
        mov ds, ax
        mov ss, ax
        lea esp, [esi + 0x7ff0]
        call .here
.here:
        pop ebp
        sub ebp, .here - protected
        mov eax, 'runs'
        call word4
        mov eax, ' at '
        call word4
        mov ebx, ebp
        call hex
        mov ecx, SIZE - 4               ; the last dword is the sum of all bytes before it
        mov edi, ebp
        xor ebx, ebx
        xor eax, eax
.sum:
        mov al, [edi]
        add ebx, eax
        inc edi
        loop .sum
        cmp ebx, [edi]
        mov eax, 'bad!'
        jne .told
        mov eax, 'sane'
.told:
        call word4
        call line32
%if VERSION
        mov ebx, [esi + 0x218]
        test ebx, ebx
        jz .off
        mov eax, 'disk'
        call word4
        mov al, ' '
        call put32
        mov ebx, [ebx]
        call hex
%endif
.off:
        mov dx, 0x604
        mov ax, 0x2000
        out dx, ax
        hlt
hex:                                    ; ebx
        mov ecx, 8
.digit:
        rol ebx, 4
        mov al, bl
        and al, 15
        cmp al, 10
        sbb al, 0x69
        das
        call put32
        loop .digit
line32:
        mov al, 13
        call put32
        mov al, 10
        jmp put32
word4:                                  ; eax: four characters
        mov ecx, 4
.next:
        call put32
        shr eax, 8
        loop .next
        ret
put32:
        push eax
        mov dx, COM1 + 5
.wait:
        in al, dx
        test al, 0x20
        jz .wait
        pop eax
        mov dx, COM1
        out dx, al
        ret
