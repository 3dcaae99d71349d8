; Real mode, entered at X+0x200 with DS=ES=SS=FS=GS=X>>4: makes boot_params, goes to 32 bits.
BITS 16

BOOT_PARAMS     equ 0x2000              ; in the setup segment, behind the setup code
SETUP_STACK     equ BOOT_PARAMS + BP_BYTES + 0x400      ; where no heap is promised

setup:
%if setup != header_end
  %error "the byte at 0x201 tells the header's end by jumping there"
%endif
        mov ax, ds
        mov es, ax
        cld
        mov dx, ss
        cmp ax, dx
        je .stack_is_ours
        mov dx, SETUP_STACK
        test byte [BP_LOADFLAGS], 0x80
        jz .set_stack
        mov dx, [BP_HEAP_END]
        add dx, 0x200
        and dx, 0xfffc
        jnz .set_stack
        mov dx, 0xfffc                  ; the end of the segment, which 16 bits cannot say
.set_stack:
        mov ss, ax
        movzx esp, dx
.stack_is_ours:
        sti
        push ds                         ; CS is 0x20 above; make all segments one
        push word .normal
        retf
.normal:
        cmp dword [setup_signature], 0x5a5aaa55
        mov si, text_truncated
        jne setup_fails

        mov di, BOOT_PARAMS
        mov cx, BP_BYTES / 2
        xor ax, ax
        rep stosw
        mov si, BP_HEADER
        mov di, BOOT_PARAMS + BP_HEADER
        mov cx, header_end - BP_HEADER
        rep movsb
        mov dword [BOOT_PARAMS + BP_SCRATCH], VIA_SETUP

        call detect_memory
        call setup_a20
        mov si, text_a20
        jz setup_fails
        jmp to_protected_mode

; int 15h E820 into boot_params, as many records as there is room for.
detect_memory:
        xor ebx, ebx
        mov di, BOOT_PARAMS + BP_E820
        xor bp, bp
.next:
        mov eax, 0xe820
        mov edx, 'PAMS'
        mov ecx, E820_RECORD
        int 0x15
        jc .end
        cmp eax, 'PAMS'
        jne .end
        inc bp
        add di, E820_RECORD
        cmp bp, E820_MAX
        je .end
        test ebx, ebx
        jnz .next
.end:
        mov ax, bp
        mov [BOOT_PARAMS + BP_E820_COUNT], al
        ret

; Z set if A20 stays off.
setup_a20:
        call test_a20
        jnz .done
        mov ax, 0x2401
        int 0x15
        call test_a20
        jnz .done
        in al, 0x92
        or al, 2
        and al, 0xfe
        out 0x92, al
        call test_a20
.done:
        ret

test_a20:                               ; the user vector 0x80 and its image 1 MiB higher
        push ds
        xor ax, ax
        mov fs, ax
        dec ax
        mov gs, ax
        mov ecx, [fs:0x200]
        mov eax, [gs:0x210]
        not eax
        mov [fs:0x200], eax
        cmp eax, [gs:0x210]
        mov [fs:0x200], ecx
        pop ds
        ret

setup_fails:                            ; ds:si: why
        lodsb
        test al, al
        jz .halt
        mov dx, 0x3f8
        out dx, al
        mov ah, 0x0e
        mov bx, 7
        int 0x10
        jmp setup_fails
.halt:
        cli
        hlt
        jmp .halt

to_protected_mode:
        cli
        mov al, 0x80                    ; no NMI either, as Linux does
        out 0x70, al
        mov al, 0xff                    ; all interrupts masked in both controllers
        out 0xa1, al
        mov al, 0xfb
        out 0x21, al
        xor ebx, ebx
        mov bx, ds
        shl ebx, 4
        lea esi, [ebx + BOOT_PARAMS]
        mov eax, [BOOT_PARAMS + BP_CODE32]
        lea ecx, [ebx + setup_gdt]
        mov [setup_gdtr + 2], ecx
        lea ecx, [ebx + .flat]
        mov [.jump + 2], ecx            ; the far jump's offset is linear
        o32 lidt [setup_idtr]
        o32 lgdt [setup_gdtr]
        mov edx, cr0
        or dl, 1
        mov cr0, edx
        jmp .jump
.jump:
        jmp dword 0x10:0                ; offset written above
BITS 32
.flat:
        mov ecx, 0x18
        mov ds, ecx
        mov es, ecx
        mov fs, ecx
        mov gs, ecx
        mov ss, ecx
        add esp, ebx
        xor ebx, ebx
        xor ecx, ecx
        xor edx, edx
        xor ebp, ebp
        xor edi, edi
        jmp eax

        align 8
setup_gdt:
        dq 0
        dq 0
        dq 0x00cf9b000000ffff           ; 10: code, 32-bit, flat
        dq 0x00cf93000000ffff           ; 18: data, flat
setup_gdtr:
        dw $ - setup_gdt - 1
        dd 0
setup_idtr:
        dw 0
        dd 0

text_truncated: db 'builtin-guest: the setup code is truncated, no signature at its end', 13, 10, 0
text_a20:       db 'builtin-guest: the A20 line stays off', 13, 10, 0
kernel_version: db '1.0 (built-in guest)', 0

        times (SETUP_SECTS + 1) * 512 - 4 - ($ - $$) db 0xcc
setup_signature:
        dd 0x5a5aaa55                   ; a loader that cut the setup part is found out by this
setup_end:
