"""The BIOS extension: one option ROM for every boot method, and the block that drives it."""
