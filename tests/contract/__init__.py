"""What the ports promise, as functions that take one: run on the simulation and on a real Xen."""
