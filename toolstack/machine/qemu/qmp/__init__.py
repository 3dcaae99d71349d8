"""QMP, the protocol QEMU is driven by: a core without I/O and a trio session around it."""
