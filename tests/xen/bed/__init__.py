"""Builds the bed from Debian packages: hypervisor, kernel, and the initramfs of each domain."""
