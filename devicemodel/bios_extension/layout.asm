; What the ROM reads and where it works: the parameter block, SCRATCH, selectors, descriptors.

; ---- the parameter block; block_codec.py makes it -------------------------------------------
BLOCK           equ 0x7000              ; our copy: first half of SCRATCH
BLOCK_BYTES     equ 0x1000
BLOCK_MAGIC     equ 'DBPB'
BLOCK_VERSION   equ 1
HEADER_BYTES    equ 0x40
STEP_BYTES      equ 16
MAX_STEPS       equ (BLOCK_BYTES - HEADER_BYTES) / STEP_BYTES

B_MAGIC         equ BLOCK + 0x00
B_VERSION       equ BLOCK + 0x04        ; u16
B_ENTRY_KIND    equ BLOCK + 0x06        ; u16
B_LENGTH        equ BLOCK + 0x08
B_CRC32         equ BLOCK + 0x0c
B_STEP_COUNT    equ BLOCK + 0x10
B_RSDP          equ BLOCK + 0x14
B_E820_FORMAT   equ BLOCK + 0x18        ; u16
B_E820_MAX      equ BLOCK + 0x1a        ; u16
B_E820_RECORDS  equ BLOCK + 0x1c
B_COUNT_FORM    equ BLOCK + 0x20
B_COUNT         equ BLOCK + 0x24
B_MEM_LOWER     equ BLOCK + 0x28
B_MEM_UPPER     equ BLOCK + 0x2c
B_ENTRY         equ BLOCK + 0x30        ; 16 bytes, meaning by entry kind
B_STEPS         equ BLOCK + HEADER_BYTES

ENTRY_REAL      equ 1
ENTRY_PROTECTED equ 2
ENTRY_LONG      equ 3
STEP_COPY       equ 1                   ; a step: u32 operation, source, destination, size
STEP_ZERO       equ 2
FORMAT_MULTIBOOT equ 2
FORMAT_PVH      equ 3
COUNT_U8        equ 1
COUNT_BYTES     equ 3

; ---- the rest of SCRATCH, 0x8000 to 0x8fff ------------------------------------------------
GDT             equ 0x8000
GDT_BYTES       equ gdt_end - gdt_start
GDTR            equ 0x8060              ; 6 bytes
IDTR_FIRMWARE   equ 0x8068              ; 6 bytes, as we found it
IDTR_NONE       equ 0x8070              ; 6 bytes, limit 0
FAR_POINTER     equ 0x8078              ; 6 bytes
CR0_FIRMWARE    equ 0x8080
STACK_FIRMWARE  equ 0x8084              ; u16 sp, u16 ss
ROM_SEGMENT     equ 0x8088              ; u16
ROM_BASE        equ 0x808c              ; linear address of this ROM
A20_PROBE       equ 0x8090
E820_COUNT      equ 0x8094
LOWER_KIB       equ 0x8098
RSDP            equ 0x809c
STACK_32        equ 0x8500              ; grows down; only a few words are ever used
E820_RAW        equ 0x8500              ; 20-byte records, room for one more than fits a block
RECORD_BYTES    equ 20
E820_LIMIT      equ 128

; ---- selectors; 0x10 and 0x18 are what the Linux boot protocol wants at the kernel's entry ---
SEL_FLAT_CODE   equ 0x10
SEL_FLAT_DATA   equ 0x18
SEL_TSS         equ 0x20
SEL_ROM_CODE32  equ 0x28
SEL_ROM_CODE16  equ 0x30
SEL_DATA16      equ 0x38

COM1            equ 0x3f8

; The table itself; bev copies it to SCRATCH, since ltr writes to it, and gives this ROM's two
; code segments their base.
%macro DESCRIPTORS 0
        align 8
gdt_start:
        dq 0
        dq 0
        dq 0x00cf9b000000ffff           ; 10: code, 32-bit, base 0, limit 4 GiB
        dq 0x00cf93000000ffff           ; 18: data, the same
        dq 0x0000890000000067           ; 20: 32-bit TSS, base 0, limit 0x67
        dq 0x00409b000000ffff           ; 28: code, 32-bit, this ROM
        dq 0x00009b000000ffff           ; 30: code, 16-bit, this ROM
        dq 0x000093000000ffff           ; 38: data, 16-bit, base 0
gdt_end:
%endmacro
