; An option ROM that only takes room, so that the next one gets another segment.
BITS 16
ORG 0
        db 0x55, 0xaa, 12
        retf
        times 12 * 512 - ($ - $$) db 0
