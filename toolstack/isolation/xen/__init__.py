"""`toolstack isolation --machine xen`: the hostile device model, let loose on a real Xen."""
