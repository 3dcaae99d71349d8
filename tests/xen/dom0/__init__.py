"""What runs inside the bed's dom0, as root, with Debian's Python."""
