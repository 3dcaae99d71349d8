; The boot sector with the setup header; offsets as in the file.
BITS 16
boot_sector:                            ; BIOS would start it at 0x7c00
        jmp 0x07c0:.here
.here:
        mov ax, cs
        mov ds, ax
        mov si, .text
        mov ah, 0x0e
        xor bx, bx
        cld
.next:
        lodsb
        test al, al
        jz .halt
        int 0x10
        jmp .next
.halt:
        hlt
        jmp .halt
.text:  db 'This is a kernel: give it to a boot loader.', 13, 10, 0

        times 0x1f1 - ($ - $$) db 0
        db SETUP_SECTS                  ; 1f1 setup_sects
        dw 1                            ; 1f2 root_flags: read-only
        dd (kernel_end - kernel_start) / 16     ; 1f4 syssize
        dw 0                            ; 1f8 ram_size
        dw 0xffff                       ; 1fa vid_mode: normal
        dw 0                            ; 1fc root_dev
        dw 0xaa55                       ; 1fe boot_flag
        db 0xeb, setup - $$ - 0x202      ; 200 jump; also tells where the header ends
        db 'HdrS'                       ; 202 header
        dw 0x020f                       ; 206 version
        dd 0                            ; 208 realmode_swtch
        dw 0x1000                       ; 20c start_sys_seg
        dw kernel_version - 0x200       ; 20e kernel_version
        db 0                            ; 210 type_of_loader
        db 1                            ; 211 loadflags: LOADED_HIGH
        dw 0                            ; 212 setup_move_size
        dd 0x100000                     ; 214 code32_start
        dd 0                            ; 218 ramdisk_image
        dd 0                            ; 21c ramdisk_size
        dd 0                            ; 220 bootsect_kludge
        dw SETUP_STACK - 0x200          ; 224 heap_end_ptr
        db 0, 0                         ; 226 ext_loader_ver, ext_loader_type
        dd 0                            ; 228 cmd_line_ptr
        dd INITRD_ADDR_MAX              ; 22c
        dd 0x1000                       ; 230 kernel_alignment
        db RELOCATABLE                  ; 234
        db 12                           ; 235 min_alignment, log2
        dw 1                            ; 236 xloadflags: 64-bit entry at 0x200
        dd CMDLINE_SIZE                 ; 238
        dd 0                            ; 23c hardware_subarch: PC
        dq 0                            ; 240 hardware_subarch_data
        dd 0                            ; 248 payload_offset
        dd 0                            ; 24c payload_length
        dq 0                            ; 250 setup_data
        dq PREF_ADDRESS                 ; 258
        dd INIT_SIZE                    ; 260
        dd 0                            ; 264 handover_offset
        dd kernel_info - kernel_start   ; 268 kernel_info_offset
header_end:
%if header_end - boot_sector != 0x26c
  %error "the 2.15 setup header ends at 0x26c"
%endif
