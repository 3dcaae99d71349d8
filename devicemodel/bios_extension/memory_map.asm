; Protected mode: what firmware said, in the form and at the place the kernel reads it.

BITS 32

; The collected map in the form asked for, its count, mem_lower and mem_upper.
store_e820:
        cmp word [B_E820_FORMAT], 0
        je .out
        mov esi, E820_RAW
        mov edi, [B_E820_RECORDS]
        mov ebp, [E820_COUNT]
.record:
        cmp word [B_E820_FORMAT], FORMAT_MULTIBOOT
        jne .no_size
        mov eax, RECORD_BYTES           ; of the rest of the record
        stosd
.no_size:
        mov ecx, RECORD_BYTES / 4
        rep movsd
        cmp word [B_E820_FORMAT], FORMAT_PVH
        jne .no_reserved
        xor eax, eax
        stosd
.no_reserved:
        dec ebp
        jnz .record

        mov eax, [E820_COUNT]
        mov edx, [B_COUNT]
        cmp dword [B_COUNT_FORM], COUNT_U8
        je .byte
        cmp dword [B_COUNT_FORM], COUNT_BYTES
        jne .dword
        mov eax, edi
        sub eax, [B_E820_RECORDS]
.dword:
        mov [edx], eax
        jmp .lower
.byte:
        mov [edx], al
.lower:
        mov edx, [B_MEM_LOWER]
        test edx, edx
        jz .upper
        mov eax, [LOWER_KIB]
        mov [edx], eax
.upper:
        mov edi, [B_MEM_UPPER]
        test edi, edi
        jz .out
        call upper_end
        sub eax, 0x100000
        sbb edx, 0
        shrd eax, edx, 10
        shr edx, 10
        jz .fits
        or eax, -1
.fits:
        mov [edi], eax
.out:
        ret

; edx:eax: end of the RAM that starts at 1 MiB, joined from as many records as touch.
upper_end:
        mov eax, 0x100000
        xor edx, edx
.again:
        mov esi, E820_RAW
        mov ebp, [E820_COUNT]
.record:
        cmp dword [esi + 16], 1         ; RAM
        jne .next
        cmp edx, [esi + 4]              ; a record that starts above the end does not touch it
        jb .next
        ja .starts_below
        cmp eax, [esi]
        jb .next
.starts_below:
        mov ebx, [esi]
        mov ecx, [esi + 4]
        add ebx, [esi + 8]
        adc ecx, [esi + 12]
        jc .next                        ; wraps: not a record to believe
        cmp ecx, edx
        jb .next
        ja .extends
        cmp ebx, eax
        jbe .next
.extends:
        mov eax, ebx
        mov edx, ecx
        jmp .again                      ; ends: each round moves the end, over finite records
.next:
        add esi, RECORD_BYTES
        dec ebp
        jnz .record
        ret

store_rsdp:
        mov edi, [B_RSDP]
        test edi, edi
        jz .out
        mov eax, [RSDP]
        mov [edi], eax
        mov dword [edi + 4], 0
.out:
        ret

; ACPI's own search: 16-byte boundaries of the first KiB of the EBDA, then of 0xe0000-0xfffff.
find_rsdp:
        mov dword [RSDP], 0
        movzx esi, word [0x40e]         ; BDA: segment of the EBDA
        shl esi, 4
        lea edi, [esi + 0x400]
        test esi, esi
        jz .bios
        call .search
.bios:
        cmp dword [RSDP], 0
        jne .out
        mov esi, 0xe0000
        mov edi, 0x100000
.search:                                ; [esi, edi)
        cmp dword [esi], 'RSD '
        jne .next
        cmp dword [esi + 4], 'PTR '
        jne .next
        xor eax, eax
        xor ecx, ecx
.sum:
        add al, [esi + ecx]
        inc ecx
        cmp ecx, 20                     ; the ACPI 1.0 part has a checksum of its own
        jb .sum
        test al, al
        jnz .next
        mov [RSDP], esi
.out:
        ret
.next:
        add esi, 16
        cmp esi, edi
        jb .search
        ret
