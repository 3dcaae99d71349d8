; Protected mode: the block is checked, and its steps are done. DS, ES, SS flat; CS is this ROM.

BITS 32

; esi: reason to refuse the block, or 0.
check_block:
        mov esi, reason_magic
        cmp dword [B_MAGIC], BLOCK_MAGIC
        jne .out
        mov esi, reason_version
        cmp word [B_VERSION], BLOCK_VERSION
        jne .out
        mov esi, reason_length
        mov eax, [B_STEP_COUNT]
        cmp eax, MAX_STEPS              ; first, so that the product below cannot wrap
        ja .out
        imul eax, eax, STEP_BYTES
        add eax, HEADER_BYTES
        cmp [B_LENGTH], eax
        jne .out
        xor edx, edx
        xchg edx, [B_CRC32]             ; the sum is taken with its own field zero
        call crc32
        mov esi, reason_crc
        cmp eax, edx
        jne .out
        mov esi, reason_field
        movzx eax, word [B_ENTRY_KIND]
        dec eax
        cmp eax, ENTRY_LONG - 1
        ja .out
        cmp word [B_E820_FORMAT], FORMAT_PVH
        ja .out
        cmp word [B_E820_MAX], E820_LIMIT
        ja .out
        mov ecx, [B_STEP_COUNT]
        mov ebx, B_STEPS
.step:
        jecxz .good
        mov eax, [ebx]
        dec eax
        cmp eax, STEP_ZERO - 1
        ja .out
        add ebx, STEP_BYTES
        dec ecx
        jmp .step
.good:
        xor esi, esi
.out:
        ret

; eax: CRC-32 (IEEE, reflected) of the block's B_LENGTH bytes. Keeps edx.
crc32:
        mov esi, BLOCK
        mov ecx, [B_LENGTH]
        or eax, -1
.byte:
        xor al, [esi]
        inc esi
        mov bl, 8
.bit:
        shr eax, 1
        jnc .even
        xor eax, 0xedb88320
.even:
        dec bl
        jnz .bit
        loop .byte
        not eax
        ret

do_steps:
        mov ebx, B_STEPS
        mov ebp, [B_STEP_COUNT]
.step:
        test ebp, ebp
        jz .done
        mov esi, [ebx + 4]
        mov edi, [ebx + 8]
        mov ecx, [ebx + 12]
        mov edx, ecx
        cmp dword [ebx], STEP_ZERO
        je .zero
        mov eax, edi
        sub eax, esi
        cmp eax, ecx
        jb .descending                  ; the destination starts inside the source
        shr ecx, 2
        rep movsd
        mov ecx, edx
        and ecx, 3
        rep movsb
.next:
        add ebx, STEP_BYTES
        dec ebp
        jmp .step
.descending:
        std
        lea esi, [esi + ecx - 1]
        lea edi, [edi + ecx - 1]
        and ecx, 3
        rep movsb
        sub esi, 3                      ; from the last byte of a dword to its first
        sub edi, 3
        mov ecx, edx
        shr ecx, 2
        rep movsd
        cld
        jmp .next
.zero:
        xor eax, eax
        shr ecx, 2
        rep stosd
        mov ecx, edx
        and ecx, 3
        rep stosb
        jmp .next
.done:
        ret
