"""The xenstore wire protocol: names, permissions, messages and their bytes; no I/O."""
