; The built-in guest: a kernel in bzImage format that tells on COM1 what it was given.
;
; The source is this file and those it includes; in this folder:
;
;     nasm -f bin -o guest.bin guest.asm
;     nasm -f bin -DNONRELOCATABLE -o guest-nonreloc.bin guest.asm
;
; It does what a Linux kernel does with the boot protocol's promises, so that a broken promise
; shows: the setup code uses BIOS calls and the heap, the kernel proper clears its whole
; init_size before it reads anything, and a CRC-32 covers every byte of the initrd.
; Source: Linux x86 boot protocol 2.15.

%define SETUP_SECTS 4
%define INIT_SIZE 0x80000               ; memory from the load address on that the kernel uses
%define CMDLINE_SIZE 2047
%define INITRD_ADDR_MAX 0x7fffffff
%define PREF_ADDRESS 0x100000
%ifdef NONRELOCATABLE
  %define RELOCATABLE 0
%else
  %define RELOCATABLE 1
%endif

; boot_params, offsets that setup code and kernel share
BP_SCRATCH      equ 0x1e4
BP_E820_COUNT   equ 0x1e8
BP_HEADER       equ 0x1f1
BP_LOADER       equ 0x210
BP_LOADFLAGS    equ 0x211
BP_CODE32       equ 0x214
BP_RAMDISK      equ 0x218
BP_RAMDISK_SIZE equ 0x21c
BP_HEAP_END     equ 0x224
BP_CMD_LINE     equ 0x228
BP_E820         equ 0x2d0
BP_BYTES        equ 0x1000
E820_RECORD     equ 20
E820_MAX        equ 128

VIA_SETUP       equ 'RM16'              ; in BP_SCRATCH: our setup code made this page

ORG 0
%include "header.asm"
%include "setup.asm"
%include "kernel.asm"
%include "serial.asm"
kernel_end:
