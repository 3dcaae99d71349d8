"""QEMU's firmware configuration device, serving boot images to QEMU's own option ROMs.

Source: docs/specs/fw_cfg.rst of QEMU.
"""
