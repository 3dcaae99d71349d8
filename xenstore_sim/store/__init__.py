"""The daemon's core: the store, who may do what, watches and transactions; no I/O."""
