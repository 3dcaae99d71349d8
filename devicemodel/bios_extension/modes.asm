; ---- mode switches -----------------------------------------------------------------------
; Interrupts stay off from the BEV's first instruction to the kernel: the interrupt table is of
; no use in protected mode, and there IDTR has limit 0, so that a fault is a clean reset.

%macro ENTER_PROTECTED 0                ; real mode, DS = 0; clobbers eax
        mov [STACK_FIRMWARE], sp
        mov [STACK_FIRMWARE + 2], ss
        o32 lgdt [GDTR]
        o32 lidt [IDTR_NONE]
        mov eax, 1                      ; PE and nothing else: PVH's rule, harmless for the rest
        mov cr0, eax
        jmp SEL_ROM_CODE32:%%protected
BITS 32
%%protected:
        mov ax, SEL_FLAT_DATA
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        mov esp, STACK_32
%endmacro

%macro ENTER_REAL 0                     ; protected mode; clobbers eax
        mov ax, SEL_DATA16              ; real mode keeps the limits it is entered with
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        jmp SEL_ROM_CODE16:%%sixteen
BITS 16
%%sixteen:
        mov eax, [CR0_FIRMWARE]
        mov cr0, eax
        o32 lidt [IDTR_FIRMWARE]
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        movzx esp, word [STACK_FIRMWARE]
        mov ss, [STACK_FIRMWARE + 2]
        push word [ROM_SEGMENT]         ; CS has the right base, but still a selector in it
        push word %%real
        retf
%%real:
%endmacro
