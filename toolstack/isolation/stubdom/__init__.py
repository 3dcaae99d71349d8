"""A hostile device model for a real Xen: it takes the place of the real one in a stub domain, or as
a process of dom0.

It is carried into the stub domain, where no toolstack is: what it imports is its own, handoff, the
wire of xenstore_sim, and the modules that `toolstack.isolation.xen.ramdisk` names.
"""
