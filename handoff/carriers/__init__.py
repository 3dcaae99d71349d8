"""The ways a frame can travel: one file each, the same bytes in all."""
