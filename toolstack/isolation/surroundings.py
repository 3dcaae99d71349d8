"""Where a hostile device model is let loose: what there is to reach for, and what is its own.

Everything here is put up to be attacked: no attempt is made on anything else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts that an attacker might know. Descriptor numbers are those of the toolstack."""

    scratch: str
    """directory that anyone may read, and write to"""
    secret: str
    """what the file `secret` there, the bystander's RAM and its node hold"""
    toolstack_pid: int
    bystander_pid: int
    """a process of the toolstack's that waits"""
    bystander_address: int
    """of 16 bytes of its memory that may be written"""
    bystander_ram_fd: int
    abstract_socket: str
    """name of a listening socket, without the leading zero byte"""
    tcp_port: int
    udp_port: int
    shared_memory: int
    """System V id of a segment anyone may attach"""
    ram_bytes: int
    target: int
    bystander: int
    """domid of the guest next door"""
    unborn: int
    """a domid that no domain has"""
    stubdom: int

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Surroundings:
        return cls(**json.loads(text))

    @property
    def bystander_home(self) -> str:
        return f"/local/domain/{self.bystander}"
