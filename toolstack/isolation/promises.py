"""What a stub domain's device model cannot do, and what keeps it from doing it."""

from __future__ import annotations

from enum import Enum

from handoff.confinement import Layer


class Promise(Enum):
    """One promise of the threat model; docs/isolation.md names the attempts that test it."""

    FILES = "no file of the host"
    DESCRIPTORS = "no descriptor but those handed over"
    PROCESSES = "no other process"
    PRIVILEGES = "no privilege, and none to regain"
    KERNEL = "no kernel interface beyond its few calls"
    RESOURCES = "no more of the host than its bounds"
    NETWORK = "no one to talk to but xenstored"
    TARGET_RAM = "guest RAM keeps its size and its seals"
    OTHER_RAM = "no other guest's RAM"
    OTHER_NODES = "no other domain's nodes"
    OTHER_DOMAINS = "no other domain's existence"
    OTHERS_SERVED = "others are served while it does its worst"
    NO_LIE_BOOTS = "nothing boots on a lie"
    TARGET = "its own target stays its own"


class Beyond(Enum):
    """What stops an attempt where the device model's own process does not."""

    SEALS = "memory seals"
    END_OF_RAM = "end of the memory file"
    PERMISSIONS = "xenstored permissions"
    PRIVILEGED = "xenstored: dom0 only"
    OWN_CONNECTION = "xenstored: own connection only"
    QUOTAS = "xenstored quotas"
    WIRE = "xenstored wire checks"
    CHECKS = "toolstack checks"
    DEADLINE = "toolstack deadline"


Barrier = Layer | Beyond
