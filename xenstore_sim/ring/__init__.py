"""The shared page of a domain: byte queues in memory; both ends without I/O."""
