"""The firmware: power-on self test, option ROMs, boot, and the interrupt services.

It works on the `Cpu` port alone and has no state but what a PC firmware keeps.
"""
