; An option ROM with a BEV of its own that switches A20 off and then calls the BEV of the next
; direct-boot ROM, as firmware that leaves A20 off would.
BITS 16
ORG 0
        db 0x55, 0xaa, 1
        retf
        times 0x1a - ($ - $$) db 0
        dw pnp
        times 0x20 - ($ - $$) db 0
pnp:    db '$PnP', 1, 2
        dw 0
        times 0x15 - ($ - pnp) db 0
        db 0x64
        dw 0, 0, bev, 0, 0
bev:
        mov ax, 0xc000
.search:
        mov ds, ax
        cmp dword [0x0c], 'dire'
        je .found
        add ax, 0x80
        jmp .search
.found:
        push ax
        mov bx, [0x1a]
        push word [bx + 0x1a]
        in al, 0x92
        and al, 0xfc
        out 0x92, al
        mov ax, 0xffff                  ; say on COM1 whether it is really off
        mov fs, ax
        xor ax, ax
        mov ds, ax
        mov dword [0x7800], 0x600dcafe
        mov al, '1'
        cmp dword [fs:0x7810], 0x600dcafe
        jne .say
        mov al, '0'
.say:
        mov dx, 0x3f8
        out dx, al
        mov al, 10
        out dx, al
        retf
        times 512 - ($ - $$) db 0
