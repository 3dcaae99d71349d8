; The last instructions before the kernel; the block says which of the three.

BITS 32

; ---- 16-bit entry: u16 ip, cs, sp, ss, ds -------------------------------------------------
enter_real_kernel:
        ENTER_REAL
        mov ax, [B_ENTRY + 8]
        mov sp, [B_ENTRY + 4]
        mov ss, [B_ENTRY + 6]
        push word [B_ENTRY + 2]
        push word [B_ENTRY + 0]
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ds, ax
        xor eax, eax
        xor ebx, ebx
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor ebp, ebp
        retf

BITS 32
; ---- 32-bit entry: u32 eip, eax, ebx, esi ------------------------------------------------
enter_protected_kernel:
        xor eax, eax
        mov cr4, eax
        mov ax, SEL_TSS                 ; PVH wants a busy TSS
        ltr ax
        mov eax, [B_ENTRY + 0]
        mov [FAR_POINTER], eax
        mov word [FAR_POINTER + 4], SEL_FLAT_CODE
        xor ecx, ecx
        xor edx, edx
        xor edi, edi
        xor ebp, ebp
        push dword 2                    ; the bit that is always set
        popfd
        mov eax, [B_ENTRY + 4]
        mov ebx, [B_ENTRY + 8]
        mov esi, [B_ENTRY + 12]
        jmp far [FAR_POINTER]

; ---- 64-bit entry: u32 rip, rsi, page_tables ---------------------------------------------
PAGE_RW         equ 3                   ; present, writable
PAGE_RW_2M      equ 0x83
EFER            equ 0xc0000080

enter_long_kernel:
        mov edx, [B_ENTRY + 8]
        mov edi, edx
        xor eax, eax
        mov ecx, 6 * 1024
        rep stosd
        lea eax, [edx + 0x1000 + PAGE_RW]
        mov [edx], eax                  ; PML4[0]
        lea edi, [edx + 0x1000]
        mov ecx, 4
.directory:
        add eax, 0x1000
        mov [edi], eax
        add edi, 8
        loop .directory
        lea edi, [edx + 0x2000]
        mov eax, PAGE_RW_2M
        mov ecx, 2048
.page:
        mov [edi], eax
        add edi, 8
        add eax, 0x200000               ; wraps after the last one, unused
        loop .page

        mov cr3, edx
        mov eax, 1 << 5                 ; PAE
        mov cr4, eax
        mov ecx, EFER
        rdmsr
        or eax, 1 << 8                  ; LME
        wrmsr
        ; Linux wants CS = 0x10 here too: the same slot, now 64-bit (L set, D clear).
        mov byte [GDT + SEL_FLAT_CODE + 6], 0xaf
        mov eax, [ROM_BASE]
        add eax, long_mode
        mov [FAR_POINTER], eax
        mov word [FAR_POINTER + 4], SEL_FLAT_CODE
        mov eax, 0x80000001             ; PG, PE
        mov cr0, eax
        jmp far [FAR_POINTER]
BITS 64
long_mode:                              ; upper halves are undefined until written
        mov ebx, BLOCK
        mov esp, STACK_32
        mov esi, [rbx + B_ENTRY - BLOCK + 4]
        mov eax, [rbx + B_ENTRY - BLOCK]
        push rax
        push 2
        xor eax, eax
        xor ebx, ebx
        xor ecx, ecx
        xor edx, edx
        xor edi, edi
        xor ebp, ebp
        popfq
        ret
