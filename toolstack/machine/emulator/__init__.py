"""A PC small enough to boot a kernel: the Unicorn engine, a BIOS in Python, a serial port.

The guest runs in a process of its own (`child`), started and watched by `machine`. That
process must be up in a fraction of a second, so nothing but `machine` imports trio.
"""
