"""A real Xen: domains that libxl builds, guest RAM by foreign mappings, the host's xenstored."""
