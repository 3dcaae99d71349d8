"""A fault campaign: processes killed and stopped, connections cut, storms and full disks, at every
step of a boot; `python -m tests.faults`."""
