"""The project on a real Xen: a bed that boots it in an emulator, and scenarios run in its dom0."""
